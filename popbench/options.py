"""The options of a component, as `NAME,key=value` sets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from popbench.records import JSON

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_RUNTIME: dict[str, Any] = {"popbench_runtime": True}


def runtime(default: Any, **constraints: Any) -> Any:
    """Declare an option that results do not depend on: it is in no fingerprint and no label.

    `constraints` are those of `pydantic.Field` (`ge=1`, `description="..."`).

    >>> import popbench
    >>> class Options(popbench.Options):
    ...     timeout: float = popbench.runtime(60.0, gt=0, description="seconds for one answer")
    >>> Options.runtime_names()
    frozenset({'timeout'})
    """
    return pydantic.Field(default, json_schema_extra=_RUNTIME, **constraints)


class Options(pydantic.BaseModel):
    """The options of a component, as a pydantic model: typed, checked, immutable.

    >>> import popbench
    >>> class Options(popbench.Options):
    ...     temperature: float = 0.7
    ...     timeout: float = popbench.runtime(60.0)
    >>> Options(temperature=0.2, timeout=5).determining()
    {'temperature': 0.2}
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse an option called `label`, which in a spec renames a component, and options that hold secrets."""
        super().__pydantic_init_subclass__(**kwargs)
        if "label" in cls.model_fields:
            raise TypeError(f"{cls.__qualname__}: an option cannot be called 'label'")
        for name, field in cls.model_fields.items():
            if field.annotation in (pydantic.SecretStr, pydantic.SecretBytes):
                raise TypeError(f"{cls.__qualname__}.{name}: options are recorded; take secrets from the environment")

    @classmethod
    def further(cls, values: Mapping[str, JSON]) -> Mapping[str, FieldInfo]:  # noqa: ARG003 - for those who know
        """Return options beyond the fields, which only some models of the class have, given the `values` so far.

        Called only if a spec has a key that is no field, so it may take seconds. A class that has such options sets
        `extra="allow"` in its `model_config`; their values are typed as the returned fields say.
        """
        return {}

    def chosen(self) -> Mapping[str, JSON]:
        """Return values for options left open that this machine's environment decides, by which keys are set.

        They are set when a component is made from a spec, and recorded with it: workers and later runs have the same.
        """
        return {}

    @classmethod
    def runtime_names(cls) -> frozenset[str]:
        """Return the names of the options that `runtime(...)` declared."""
        return frozenset(name for name, field in cls.model_fields.items() if field.json_schema_extra == _RUNTIME)

    def determining(self) -> dict[str, JSON]:
        """Return the options that results depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.runtime_names()))

"""The options of a component: what `NAME,key=value` may set, typed, checked and immutable."""

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

    `constraints` are pydantic's (`ge=1`, `description="..."`).
    """
    return pydantic.Field(default, json_schema_extra=_RUNTIME, **constraints)


class Options(pydantic.BaseModel):
    """The options of a component, as `NAME,key=value` sets them: typed, checked, immutable."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse an option that no spec could set (`label` renames a component on boards), and secrets."""
        super().__pydantic_init_subclass__(**kwargs)
        if "label" in cls.model_fields:
            raise TypeError(f"{cls.__qualname__}: an option cannot be called 'label'")
        for name, field in cls.model_fields.items():
            if field.annotation in (pydantic.SecretStr, pydantic.SecretBytes):
                raise TypeError(f"{cls.__qualname__}.{name}: options are recorded; take secrets from the environment")

    @classmethod
    def further(cls, values: Mapping[str, JSON]) -> Mapping[str, FieldInfo]:  # noqa: ARG003 - for those who know
        """Name options beyond the fields: those that only some models of the class have, given `values` so far.

        Asked only where a spec has a key that is no field; it may take seconds then. A class that has any sets
        `extra="allow"` in its `model_config`; values of theirs come typed.
        """
        return {}

    @classmethod
    def runtime_names(cls) -> frozenset[str]:
        """Name the options declared with `runtime(...)`."""
        return frozenset(name for name, field in cls.model_fields.items() if field.json_schema_extra == _RUNTIME)

    def determining(self) -> dict[str, JSON]:
        """Return the options that results depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.runtime_names()))

"""What all components share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from popbench.options import Options
from popbench.records import JSON, Needs
from popbench.text import first_line

_Options = Options


class Component:
    """The base of all components: options, fingerprint, label, check, needs, cost, close.

    Making one must be cheap, since popbench makes every component that a command names: load models in the first call
    that needs them.
    """

    Options: ClassVar[type[Options]] = Options
    kind: ClassVar[str] = ""
    demo: ClassVar[bool] = False
    """True marks every run that uses it as a demonstration, which no real board accepts."""
    note: str = ""
    """A sentence that every board with this component shows; an instance may set its own."""
    repeatable: bool = True
    """False says that the same request may get another answer, as of a model that takes no seed: boards say so, and the
    conformance kit does not ask for equal answers. Embedders and corpora are always repeatable."""
    version: str = ""
    """Part of the fingerprint: change it when the same options give other results. By default it is the version of the
    distribution that registers the class."""

    def __init__(self, options: _Options | None = None) -> None:
        self.options: Any = options if options is not None else self.Options()

    @classmethod
    def describe(cls, preset: Mapping[str, JSON]) -> str:  # noqa: ARG003 - for those with presets
        """Return what a name with these options of a preset is, in a line: the model, its size, what it needs.

        `popbench plugins` shows it. By default it is the first line of the class's docstring.
        """
        return first_line(cls.__doc__)

    def fingerprint(self) -> Mapping[str, JSON]:
        """Return all that results depend on, as JSON; a component with weights adds their revision or hash."""
        cls = type(self)
        return {
            "name": f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}",
            "version": self.version,
            "options": self.options.determining(),
        }

    def label(self) -> str | None:
        """Return a shorter name for boards than the one made of name and options; None to keep that one."""
        return None

    def check(self) -> list[str]:
        """Return what is missing to run here (a key, weights, memory), one line each, with how to get it."""
        return []

    def notices(self) -> list[str]:
        """Return what stands in no way yet and should be known, such as the day its provider retires it, in lines."""
        return []

    def needs(self) -> Needs:
        """Return what the component occupies while it works."""
        return Needs()

    def cost(self, usage: Mapping[str, float]) -> float | None:  # noqa: ARG002 - for those who know
        """Return what calls with this usage cost together, in USD; None if prices are unknown.

        `usage` is that of one call, or the sum of several; kinds that sum to 0 may be missing.
        """
        return None

    def estimate(self, requests: int) -> float | None:  # noqa: ARG002 - for those who know
        """Return what so many requests cost at most, in USD; None if that is unknown.

        `--dry-run` shows it, and `--max-cost` reserves the estimate of one request for each that is not answered yet.
        """
        return None

    def close(self) -> None:
        """Free memory and connections. Called always, also after an error; a later call may load again."""

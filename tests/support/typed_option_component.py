"""A component with an option of every type, and functions that make it from a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic

import popbench
from popbench.hookspecs import Register
from popbench.registry import Plugin, Registry, Resolved
from popbench.specs import parse_spec, read_options


class Options(popbench.Options):
    count: int = pydantic.Field(1, ge=0, le=99)
    ratio: float = 0.5
    flag: bool = False
    text: str = "plain"
    maybe: int | None = None
    word: str | None = None
    sizes: list[int] = pydantic.Field(default_factory=list)
    table: dict[str, float] = pydantic.Field(default_factory=dict)
    folder: Path | None = None
    step: Literal[8, 16] = 8
    pace: Literal["slow", "fast"] = "slow"
    scale: float | Literal["auto"] = "auto"
    concurrency: int = popbench.runtime(4, ge=1)


class Thing(popbench.Embedder):
    """A component with an option of every type."""

    Options = Options

    def encode(self, texts: Any) -> Any:
        raise NotImplementedError


def registry_of(cls: type[popbench.Component], **preset: Any) -> Registry:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_embedders(register: Register) -> None:
            register("thing", cls)
            register("preset", cls, **preset)

    registry = Registry()
    plugin = Plugin("tests", "tests-dist", "1.0", "tests")
    registry.add(Module, plugin)
    assert plugin.error is None
    return registry


def resolve(text: str, **preset: Any) -> Resolved:
    return registry_of(Thing, **preset).resolve("embedder", text)


def value(text: str) -> Any:
    """Return the typed value of the one option that a spec sets."""
    _, raw = parse_spec(text)
    (key,) = raw
    return getattr(read_options(Options, raw, {}, "thing"), key)

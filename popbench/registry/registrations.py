"""What a plugin registers: a name, a class or where to import it from, and a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.interfaces import (
    LLM,
    Component,
    Corpus,
    Embedder,
    Engine,
    Mode,
    Predictor,
    Tracker,
    VideoGenerator,
)
from popbench.records import JSON
from popbench.specs import safe_label
from popbench.text import first_line

GROUP = "popbench"
PYTHON = "Python"
"""Stands in the place of a distribution for components that were handed over from Python."""
KINDS: Mapping[str, tuple[str, type[Component]]] = {
    "llm": ("register_llms", LLM),
    "generator": ("register_generators", VideoGenerator),
    "predictor": ("register_predictors", Predictor),
    "embedder": ("register_embedders", Embedder),
    "corpus": ("register_corpora", Corpus),
    "mode": ("register_modes", Mode),
    "engine": ("register_engines", Engine),
    "tracker": ("register_trackers", Tracker),
}


@dataclass(slots=True)
class Plugin:
    """An entry point: its name, its distribution, and the outcome of loading it."""

    name: str
    distribution: str
    version: str
    module: str
    load_seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered name: its class or where to import it from, its preset, and its plugin."""

    kind: str
    name: str
    target: type[Component] | str
    preset: Mapping[str, JSON]
    plugin: Plugin

    def load(self) -> type[Component]:
        """Import the class; raises UsageError that names the plugin if that fails."""
        if not isinstance(self.target, str):
            return self._checked(self.target)
        module, colon, attribute = self.target.partition(":")
        where = f"{self.kind} {self.name!r} of plugin {self.plugin.distribution}"
        if not colon:
            raise UsageError(f'{where}: target {self.target!r} is not of the form "module:Class"')
        try:
            return self._checked(getattr(import_module(module), attribute))
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{where} does not load: {one_line(error)}") from error

    def _checked(self, cls: Any) -> type[Component]:
        base = KINDS[self.kind][1]
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise UsageError(
                f"{self.kind} {self.name!r} of plugin {self.plugin.distribution}: "
                f"{self.target!r} is not a subclass of popbench.{base.__name__}"
            )
        return cls

    @property
    def error(self) -> str | None:
        """Why the class cannot be imported; None if it can."""
        try:
            self.load()
        except UsageError as error:
            return str(error)
        return None

    @property
    def summary(self) -> str:
        """What it is, in a line, as its class says; or why the class cannot be imported."""
        if self.error is not None:
            return f"broken: {self.error}"
        try:
            said = self.load().describe(self.preset)
        except Exception:  # a plugin's class may have something else of that name
            said = None
        return one_line(said) if isinstance(said, str) else self.docstring

    @property
    def docstring(self) -> str:
        """The first line of the class's docstring; empty if the class has none or cannot be imported."""
        return "" if self.error is not None else first_line(self.load().__doc__)


def make_component(registration: Registration, options: Any) -> Component:
    """Make the component of a registration; raises UsageError that names the plugin if that fails."""
    cls = registration.load()
    try:
        component = cls(options)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{registration.kind} {registration.name!r} of plugin {registration.plugin.distribution} "
            f"cannot be made: {one_line(error)}"
        ) from error
    component.options = options
    if not component.version:
        component.version = registration.plugin.version
    return component


def own_label(component: Component, what: str) -> str:
    """Return the label that a component offers; empty for none. Raises UsageError if that fails."""
    try:
        return safe_label(component.label() or "")
    except Exception as error:
        raise UsageError(f"{what}: no label ({one_line(error)})") from error

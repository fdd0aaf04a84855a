"""Loads the plugins that are installed, and makes components of specs with them.

A plugin that fails to import is recorded as broken, and everything else works.
"""

from __future__ import annotations

import os
import time
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from weakref import WeakKeyDictionary

from popbench.errors import UsageError, one_line, unknown
from popbench.interfaces import Component
from popbench.registry.registrations import GROUP, KINDS, Plugin, make_component, own_label
from popbench.registry.registry import Registry
from popbench.specs import ComponentSpec, differing, make_label, parse_spec, write_spec
from popbench.versions import __version__

_MADE: WeakKeyDictionary[Component, str] = WeakKeyDictionary()
"""The labels of components that `make` returned."""


def make(kind: str, spec: str) -> Any:
    """Return the component that a spec describes: `popbench.make("llm", "gpt-4o,temperature=0")`.

    `kind` is `llm`, `generator`, `predictor`, `embedder`, `corpus`, `mode`, `engine` or `tracker`. No model is loaded
    yet; close the component after its last use. Raises UsageError that says what is possible.
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if not isinstance(spec, str):
        raise UsageError(f"{kind}: expected a spec as text, not {spec!r}")
    resolved = load_registry().resolve(kind, spec)
    _MADE[resolved.component] = resolved.spec.label
    return resolved.component


def label(component: Component) -> str:
    """Return the name of a component on boards: its own label, or its registered name and the options that differ.

    Raises UsageError for what is no component.
    """
    if not isinstance(component, Component):
        raise UsageError(f"label: expected a component, not {component!r}: popbench.make makes one of a spec")
    if (made := _MADE.get(component)) is not None:
        return made
    cls = type(component)
    for registration in load_registry():
        target = registration.target
        if target is cls or target == f"{cls.__module__}:{cls.__qualname__}":
            differ = differing(component.options, registration.preset)
            if not registration.preset.keys() & differ.keys():
                return own_label(component, registration.name) or make_label(registration.name, differ)
    return own_label(component, cls.__name__) or make_label(cls.__name__, differing(component.options, {}))


def create(spec: ComponentSpec) -> Component:
    """Make the component that a spec describes. Works in any process, also a worker's."""
    registry = load_registry()
    if (instance := registry.instances.get((spec.kind, spec.text))) is not None:
        return instance
    registration = registry.find(spec.kind, spec.name)
    cls = registration.load()
    return make_component(registration, cls.Options.model_validate({**registration.preset, **spec.options}))


def with_option(kind: str, spec: str, option: str, value: str) -> str:
    """Set an option in a spec, for a flag of a command; raises UsageError if the class has no such option."""
    name, options = parse_spec(spec)
    if option not in load_registry().find(kind, name).load().Options.model_fields:
        raise UsageError(
            f"{kind} {name} has no option {option}=: it says by itself what that would be; leave out --{option}"
        )
    return write_spec(name, {**options, option: value})


def _selected(entries: list[EntryPoint]) -> list[EntryPoint]:
    """Return first-party entry points and those that POPBENCH_PLUGINS lists; all if it is not set."""
    limit = os.environ.get("POPBENCH_PLUGINS")
    if limit is None:
        return entries
    wanted = {name.strip() for name in limit.split(",") if name.strip()}
    missing = wanted - {entry.name for entry in entries}
    if missing:
        raise unknown("plugin in POPBENCH_PLUGINS", min(missing), [e.name for e in entries if not _first_party(e)])
    return [entry for entry in entries if _first_party(entry) or entry.name in wanted]


def _first_party(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == "popbench"


@cache
def load_registry() -> Registry:
    """Load the selected entry points once per process, first-party ones first."""
    registry = Registry()
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (not _first_party(entry), entry.name))
    for entry in _selected(entries):
        plugin = Plugin(
            name=entry.name,
            distribution=entry.dist.name if entry.dist else "unknown",
            version=entry.dist.version if entry.dist else __version__,
            module=entry.value,
        )
        started = time.perf_counter()
        try:
            module = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: no plugin ends the host
            plugin.error = one_line(error)
            registry.plugins.append(plugin)
            continue
        registry.add(module, plugin)
        plugin.load_seconds = time.perf_counter() - started
    return registry

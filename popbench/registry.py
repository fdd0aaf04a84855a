"""From installed plugins to components: loads entry points, collects names, and makes a component of a spec.

A plugin that fails to import is recorded as broken, and everything else works. If two distributions register one name,
that name alone is unusable.
"""

from __future__ import annotations

import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from popbench import hookspecs
from popbench.credentials import credentials_in
from popbench.errors import UsageError, one_line, unknown
from popbench.interfaces import (
    LLM,
    Component,
    Corpus,
    Embedder,
    Engine,
    Predictor,
    VideoGenerator,
)
from popbench.keys import digest
from popbench.options import Options
from popbench.records import JSON
from popbench.specs import (
    ComponentSpec,
    check_label,
    differing,
    make_label,
    parse_spec,
    read_options,
    safe_label,
    write_spec,
)
from popbench.versions import __version__

GROUP = "popbench"
PYTHON = "Python"
"""Stands in the place of a distribution for components that were handed over from Python."""
KINDS: Mapping[str, tuple[str, type[Component]]] = {
    "llm": ("register_llms", LLM),
    "generator": ("register_generators", VideoGenerator),
    "predictor": ("register_predictors", Predictor),
    "embedder": ("register_embedders", Embedder),
    "corpus": ("register_corpora", Corpus),
    "engine": ("register_engines", Engine),
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
        """The first line of the class's docstring, or why the class cannot be imported."""
        if self.error is not None:
            return f"broken: {self.error}"
        doc = (self.load().__doc__ or "").strip()
        return doc.splitlines()[0] if doc else ""


@dataclass(slots=True)
class Registry:
    """Everything that plugins have registered."""

    plugins: list[Plugin] = field(default_factory=list)
    registrations: dict[tuple[str, str], list[Registration]] = field(default_factory=dict)
    task_folders: list[Path] = field(default_factory=list)
    instances: dict[tuple[str, str], Component] = field(default_factory=dict)
    """Components that were handed over from Python, by kind and spec."""

    def add(self, module: Any, plugin: Plugin) -> None:
        """Call the hooks of a plugin's module. An error marks the plugin as broken; what it registered stays."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        self.plugins.append(plugin)
        try:
            manager.register(module)
            manager.check_pending()
            for kind, (hook, _) in KINDS.items():
                getattr(manager.hook, hook)(register=self._register(kind, plugin))
            manager.hook.register_tasks(register=lambda folder: self.task_folders.append(Path(folder)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit: no plugin ends the host
            plugin.error = one_line(error)

    def _register(self, kind: str, plugin: Plugin) -> Callable[..., None]:
        def register(name: str, target: type[Component] | str, /, **preset: Any) -> None:
            if not name or any(char in name for char in ",=| \t\n"):
                raise ValueError(f"{kind} name {name!r}: a name has no comma, '=', '|' or space")
            self.registrations.setdefault((kind, name), []).append(Registration(kind, name, target, preset, plugin))

        return register

    def adopt(self, kind: str, given: Component | type[Component]) -> str:
        """Register a class, or an instance with its class, in this process, under the class's name; return its spec.

        A class of the same name that was adopted before is replaced, as a notebook does that runs a cell again. Without
        a `version`, the class's source stands for it. Raises UsageError for what is no component of the kind.
        """
        cls = given if isinstance(given, type) else type(given)
        name, base = cls.__name__, KINDS[kind][1]
        if not issubclass(cls, base):
            raise UsageError(f"{kind}: {name} is not a subclass of popbench.{base.__name__}")
        others = [claim for claim in self.registrations.get((kind, name), []) if claim.plugin.distribution != PYTHON]
        if others:
            raise UsageError(f"{kind}: {name} is the name of a plugin's {kind}: rename the class")
        plugin = Plugin(cls.__module__, PYTHON, cls.version or _source_version(cls), cls.__module__)
        self.registrations[kind, name] = [Registration(kind, name, cls, {}, plugin)]
        if isinstance(given, type):
            return name
        differ = differing(given.options, {})
        spec = write_spec(
            name, {key: value if isinstance(value, str) else json.dumps(value) for key, value in differ.items()}
        )
        given.version = given.version or plugin.version
        self.instances[kind, spec] = given
        return spec

    def names(self, kind: str) -> list[str]:
        """All registered names of a kind, sorted."""
        return sorted(name for of_kind, name in self.registrations if of_kind == kind)

    def __iter__(self) -> Iterator[Registration]:
        for key in sorted(self.registrations):
            yield from self.registrations[key]

    def conflicts(self) -> list[str]:
        """One message for each name that several plugins register."""
        return [_conflict(claims) for claims in self.registrations.values() if len(claims) > 1]

    def find(self, kind: str, name: str) -> Registration:
        """Look up a name; raises UsageError if it is unknown or registered twice."""
        claims = self.registrations.get((kind, name))
        if not claims:
            broken = [f"{plugin.name} ({plugin.error})" for plugin in self.plugins if plugin.error]
            hint = f"plugins that failed to load: {'; '.join(broken)}" if broken else ""
            raise unknown(kind, name, self.names(kind), hint)
        if len(claims) > 1:
            raise UsageError(_conflict(claims))
        return claims[0]

    def resolve(self, kind: str, text: str, defaults: Mapping[str, JSON] | None = None) -> Resolved:
        """Make the component that a spec describes, with typed options and a label.

        `defaults` are values for runtime options of these names, if the class has them and the spec does not set them.
        Raises UsageError that says what is possible.
        """
        name, raw = parse_spec(text)
        registration = self.find(kind, name)
        cls = registration.load()
        what = f"{kind} {name}"
        for place in credentials_in(raw):
            raise UsageError(
                f"{what}: {place} looks like a credential, and specs are recorded with the run: "
                "take it out and put it into the environment"
            )
        label = raw.pop("label", None)
        runtime = cls.Options.runtime_names()
        fill = {key: value for key, value in (defaults or {}).items() if key in runtime}
        options = read_options(cls.Options, raw, {**fill, **registration.preset}, what)
        chosen = _chosen(options, what)
        whole = options.model_copy(update=dict(chosen)) if chosen else options
        component = self.instances.get((kind, text)) or _make(registration, whole)
        automatic = _label(component, what) or make_label(name, differing(options, registration.preset))
        spec = ComponentSpec(
            kind=kind,
            name=name,
            options=whole.model_dump(mode="json", exclude_unset=True),
            label=check_label(label) if label is not None else automatic,
            text=_recorded(text, chosen, automatic if label is None else None),
        )
        return Resolved(spec, component, automatic, chosen)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec and its component, which has loaded no model yet: for its checks, label and fingerprint.

    `automatic_label` is the label that it has unless `label=` gives it another one. `chosen` are the options that this
    machine's environment decided, which `spec.text` has beside what was typed.
    """

    spec: ComponentSpec
    component: Any
    automatic_label: str = ""
    chosen: Mapping[str, JSON] = field(default_factory=dict)


def _chosen(options: Options, what: str) -> Mapping[str, JSON]:
    try:
        return options.chosen()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{what}: its options cannot be chosen ({one_line(error)})") from error


def _recorded(text: str, chosen: Mapping[str, JSON], label: str | None) -> str:
    """Add to a spec what was chosen, and the label that it has without that."""
    if not chosen:
        return text
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in chosen.items()}
    return text + write_spec("", values if label is None else {**values, "label": label})


def _source_version(cls: type[Component]) -> str:
    """Return a version that changes with the source of a class. Raises UsageError if there is none to be read."""
    try:
        return f"source-{digest(inspect.getsource(cls))}"
    except (OSError, TypeError):
        raise UsageError(
            f'{cls.__name__}: its source cannot be read, so set version = "1", and another one when its results change'
        ) from None


def make(kind: str, spec: str) -> Any:
    """Return the component that a spec describes: `popbench.make("llm", "gpt-4o,temperature=0")`.

    `kind` is `llm`, `generator`, `predictor`, `embedder`, `corpus` or `engine`. No model is loaded yet; close the
    component after its last use. Raises UsageError that says what is possible.
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    return load_registry().resolve(kind, spec).component


def label(component: Component) -> str:
    """Return the name of a component on boards: its own label, or its registered name and the options that differ."""
    cls = type(component)
    for registration in load_registry():
        target = registration.target
        if target is cls or target == f"{cls.__module__}:{cls.__qualname__}":
            differ = differing(component.options, registration.preset)
            if not registration.preset.keys() & differ.keys():
                return _label(component, registration.name) or make_label(registration.name, differ)
    return _label(component, cls.__name__) or make_label(cls.__name__, differing(component.options, {}))


def _conflict(claims: list[Registration]) -> str:
    owners = " and ".join(sorted({f"{claim.plugin.distribution} ({claim.plugin.name})" for claim in claims}))
    return (
        f"{claims[0].kind} {claims[0].name!r} is registered twice, by {owners}: uninstall one or limit POPBENCH_PLUGINS"
    )


def _make(registration: Registration, options: Any) -> Component:
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


def _label(component: Component, what: str) -> str:
    try:
        return safe_label(component.label() or "")
    except Exception as error:
        raise UsageError(f"{what}: no label ({one_line(error)})") from error


def create(spec: ComponentSpec) -> Component:
    """Make the component that a spec describes. Works in any process, also a worker's."""
    registry = load_registry()
    if (instance := registry.instances.get((spec.kind, spec.text))) is not None:
        return instance
    registration = registry.find(spec.kind, spec.name)
    cls = registration.load()
    return _make(registration, cls.Options.model_validate({**registration.preset, **spec.options}))


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

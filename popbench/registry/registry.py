"""Collects the names that plugins register, and makes a component of a spec.

If two distributions register one name, that name alone is unusable.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from popbench import hookspecs
from popbench.credentials import credentials_in
from popbench.errors import UsageError, one_line, unknown
from popbench.interfaces import Component
from popbench.keys import digest
from popbench.options import Options
from popbench.records import JSON
from popbench.registry.registrations import (
    GROUP,
    KINDS,
    PYTHON,
    Plugin,
    Registration,
    make_component,
    own_label,
)
from popbench.specs import ComponentSpec, check_label, differing, make_label, parse_spec, read_options, write_spec


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
            self.instances.pop((kind, name), None)
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

    @property
    def broken(self) -> str:
        """What to say of plugins that failed to load where a name is unknown; empty if all have loaded."""
        broken = [f"{plugin.name} ({plugin.error})" for plugin in self.plugins if plugin.error]
        return f"plugins that failed to load: {'; '.join(broken)}" if broken else ""

    def find(self, kind: str, name: str) -> Registration:
        """Look up a name, or `DISTRIBUTION/NAME`; raises UsageError if it is unknown or registered twice."""
        claims = self.registrations.get((kind, name)) or self._of_distribution(kind, name)
        if not claims:
            raise unknown(kind, name, self.names(kind), self.broken)
        if len(claims) > 1:
            raise UsageError(_conflict(claims))
        return claims[0]

    def _of_distribution(self, kind: str, name: str) -> list[Registration]:
        distribution, _, short = name.partition("/")
        claims = self.registrations.get((kind, short), [])
        return [claim for claim in claims if claim.plugin.distribution == distribution]

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
        card = raw.pop("card", None) if kind == "predictor" and "card" not in cls.Options.model_fields else None
        runtime = cls.Options.runtime_names()
        fill = {key: value for key, value in (defaults or {}).items() if key in runtime}
        options = read_options(cls.Options, raw, {**fill, **registration.preset}, what)
        instance = self.instances.get((kind, text))
        chosen = _chosen(options, what) if instance is None else {}
        whole = options.model_copy(update=dict(chosen)) if chosen else options
        component = instance or make_component(registration, whole)
        automatic = own_label(component, what) or make_label(name, differing(options, registration.preset))
        spec = ComponentSpec(
            kind=kind,
            name=name,
            options=whole.model_dump(mode="json", exclude_unset=True),
            label=check_label(label) if label is not None else automatic,
            text=_recorded(text, chosen, automatic if label is None else None),
        )
        return Resolved(spec, component, automatic, chosen, card)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec and its component, which has loaded no model yet: for its checks, label and fingerprint.

    `automatic_label` is the label that it has unless `label=` gives it another one. `chosen` are the options that this
    machine's environment decided, which `spec.text` has beside what was typed. `card` is the path of a predictor's card
    that was given with `card=`: what a board says of it, and nothing that it scores by.
    """

    spec: ComponentSpec
    component: Any
    automatic_label: str = ""
    chosen: Mapping[str, JSON] = field(default_factory=dict)
    card: str | None = None


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
    return text + write_spec("x", values if label is None else {**values, "label": label}).removeprefix("x")


def _source_version(cls: type[Component]) -> str:
    """Return a version that changes with the source of a class. Raises UsageError if there is none to be read."""
    try:
        return f"source-{digest(inspect.getsource(cls))}"
    except (OSError, TypeError):
        raise UsageError(
            f'{cls.__name__}: its source cannot be read, so set version = "1", and another one when its results change'
        ) from None


def _conflict(claims: list[Registration]) -> str:
    owners = " and ".join(sorted({f"{claim.plugin.distribution} ({claim.plugin.name})" for claim in claims}))
    name, choices = claims[0].name, sorted({claim.plugin.distribution for claim in claims})
    way = " or ".join(f"{distribution}/{name}" for distribution in choices)
    if len(choices) == 1:
        way = "one name for each"
    return f"{claims[0].kind} {name!r} is registered twice, by {owners}: write {way}"

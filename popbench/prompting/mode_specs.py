"""Reads `--mode`: a template of the tasks, or a mode that a plugin registers, with options and a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from popbench.errors import UsageError, unknown
from popbench.modes import Mode
from popbench.options import Options
from popbench.prompting.conversations import TemplateMode
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.registry import Registry, Resolved, load_registry
from popbench.retrieval import RetrievalOptions
from popbench.specs import check_label, differing, make_label, parse_spec, read_options, write_spec
from popbench.tasks.task import Task


class ModeOptions(Options):
    """The options of a mode whose template uses no references: none."""


@dataclass(frozen=True, slots=True)
class SelectedMode:
    """A mode as selected: its name, its label on boards, what writes the drafts, and how references are found.

    `template` is the name of the tasks' template that it renders, None for none. `retrieval` is None where the mode
    uses no references. `registered` is the component of a mode that a plugin registers.
    """

    name: str
    label: str
    automatic_label: str
    template: str | None
    retrieval: RetrievalOptions | None = None
    registered: Resolved | None = None

    @property
    def writer(self) -> Mode:
        """The mode's code."""
        if self.registered is None:
            return _TEMPLATE_MODE
        mode: Mode = self.registered.component
        return mode

    def determining(self) -> dict[str, JSON]:
        """Return the options that results depend on."""
        own = {} if self.registered is None else self.registered.component.options.determining()
        return {**own, **({} if self.retrieval is None else self.retrieval.determining())}


_TEMPLATE_MODE = TemplateMode()


def read_mode(text: str, tasks: Sequence[Task], parse: Callable[[Path], Template] = Template) -> SelectedMode:
    """Read a `--mode` spec for the tasks of a run; raises UsageError for a mode or an option that one of them lacks.

    A template of the tasks comes before a registered mode of its name, which is `DISTRIBUTION/NAME` then. `parse` makes
    a template of its file; a caller with many modes gives one that parses each file once.
    """
    name, raw = parse_spec(text)
    registry = load_registry()
    if not any(name in task.file.templates for task in tasks) and _is_registered(registry, name):
        return _read_registered(text, tasks, parse, registry)
    for task in tasks:
        if name not in task.file.templates:
            choices = [*task.file.templates, *registry.names("mode")]
            raise unknown(f"mode of task {task.name}", name, choices, registry.broken)
    uses = any(parse(task.template(name)).uses_references for task in tasks)
    options_class: type[Options] = RetrievalOptions if uses else ModeOptions
    label = raw.pop("label", None)
    options = read_options(options_class, raw, {}, f"mode {name}")
    automatic = make_label(name, differing(options, {}))
    retrieval = options if isinstance(options, RetrievalOptions) else None
    return SelectedMode(name, automatic if label is None else check_label(label), automatic, name, retrieval)


def _is_registered(registry: Registry, name: str) -> bool:
    return name.rpartition("/")[2] in registry.names("mode")


def _read_registered(
    text: str, tasks: Sequence[Task], parse: Callable[[Path], Template], registry: Registry
) -> SelectedMode:
    """Read the spec of a registered mode: its own options go to its class, the others are those of references."""
    name, raw = parse_spec(text)
    registration = registry.find("mode", name)
    own_names = registration.load().Options.model_fields
    label = raw.pop("label", None)
    own = {key: value for key, value in raw.items() if key in own_names}
    others: dict[str, JSON] = {key: value for key, value in raw.items() if key not in own_names}
    resolved = registry.resolve("mode", text if len(own) == len(raw) and label is None else write_spec(name, own))
    mode: Mode = resolved.component
    what = f"mode {name}"
    for task in tasks:
        if mode.template is not None and mode.template not in task.file.templates:
            raise UsageError(
                f"{what}: {unknown(f'template of task {task.name}', str(mode.template), task.file.templates)}"
            )
    uses = mode.uses_references or any(
        parse(task.template(mode.template)).uses_references for task in tasks if mode.template is not None
    )
    shown = differing(mode.options, registration.preset)
    retrieval = None
    if uses:
        if clash := own_names.keys() & RetrievalOptions.model_fields.keys():
            raise UsageError(f"{what}: its option {min(clash)!r} is also one of references: rename it")
        _refuse_unknown(others, [*own_names, *RetrievalOptions.model_fields], what)
        options = read_options(RetrievalOptions, others, {}, what)
        assert isinstance(options, RetrievalOptions)
        retrieval = options
        shown = {**shown, **differing(retrieval, {})}
    else:
        _refuse_unknown(others, own_names, what)
    automatic = make_label(name, shown)
    offered = resolved.automatic_label
    if offered != make_label(name, differing(mode.options, registration.preset)):  # the mode's own, shorter one
        automatic = make_label(offered, {} if retrieval is None else differing(retrieval, {}))
    chosen = automatic if label is None else check_label(label)
    resolved = replace(resolved, spec=replace(resolved.spec, label=chosen, text=text), automatic_label=automatic)
    return SelectedMode(name, chosen, automatic, mode.template, retrieval, resolved)


def _refuse_unknown(raw: Mapping[str, JSON], possible: Sequence[str] | Mapping[str, object], what: str) -> None:
    for key in sorted(raw):
        if key not in possible:
            raise unknown(f"option of {what}", key, [*possible, "label"], shown=None)

"""Reads `--mode`: a template of the tasks, or a mode that a plugin registers, with options and a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from popbench.errors import UsageError, unknown
from popbench.interfaces import Mode
from popbench.options import Options
from popbench.prompting.conversations import TemplateMode
from popbench.prompting.mode_files import find_mode_file
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.registry import Resolved, load_registry
from popbench.retrieval import RetrievalOptions
from popbench.specs import check_label, differing, make_label, parse_spec, read_options, write_spec
from popbench.tasks.task import Task


@dataclass(frozen=True, slots=True)
class SelectedMode:
    """A mode as selected: its name, its label on boards, what writes the drafts, and how references are found.

    `template` is the name of the tasks' template that it renders, None for none; `file` is a template of its own, for
    all tasks, and `given` holds options of the template, as texts. `retrieval` is None where the mode uses no
    references. `registered` is the component of a mode that a plugin registers. `options` are all that results depend
    on.
    """

    name: str
    label: str
    automatic_label: str
    template: str | None
    options: Mapping[str, JSON]
    given: Mapping[str, str]
    retrieval: RetrievalOptions | None = None
    registered: Resolved | None = None
    file: Path | None = None

    def template_file(self, task: Task) -> Path | None:
        """Return the template that it renders for a task; None if it has none."""
        if self.file is not None or self.template is None:
            return self.file
        return task.template(self.template)

    @property
    def writer(self) -> Mode:
        """The mode's code."""
        if self.registered is None:
            return _TEMPLATE_MODE
        mode: Mode = self.registered.component
        return mode

    def options_of(self, template: Template) -> Options:
        """Return the options of a template; raises UsageError for one that it does not have, or a bad value."""
        return read_options(template.options, self.given, {}, f"mode {self.name} ({template.path})")


_TEMPLATE_MODE = TemplateMode()


def read_mode(text: str, tasks: Sequence[Task], parse: Callable[[Path], Template] = Template) -> SelectedMode:
    """Read a `--mode` spec for the tasks of a run; raises UsageError for a mode or an option that one of them lacks.

    A template of the tasks comes before a registered mode of its name, which is `DISTRIBUTION/NAME` then. `FILE.j2` is
    a template of its own, and `best-of-DIR` the mode that `popbench optimize` found. `parse` makes a template of its
    file; a caller with many modes gives one that parses each file once.
    """
    name, raw = parse_spec(text)
    label, what, registry = raw.pop("label", None), f"mode {name}", load_registry()
    of_tasks = any(name in task.file.templates for task in tasks)
    if not of_tasks and (of_file := find_mode_file(name)) is not None:
        if not parse(of_file.template).uses_prompt:
            raise UsageError(
                f"mode {of_file.template}: it shows the model no prompt, and every prompt would get the same draft: "
                "put {{ prompt }} into its block user"
            )
        selected = SelectedMode(of_file.name, "", of_file.label, None, {}, {}, file=of_file.template)
        return _with_options(selected, {**of_file.options, **raw}, tasks, parse, label or of_file.own_label)
    if of_tasks or name.rpartition("/")[2] not in registry.names("mode"):
        for task in tasks:
            if name not in task.file.templates:
                possible = [*task.file.templates, *registry.names("mode")]
                raise unknown(f"mode of task {task.name}", name, possible, registry.broken)
        return _with_options(SelectedMode(name, "", name, name, {}, {}), raw, tasks, parse, label)
    registration = registry.find("mode", name)
    own_names = registration.load().Options.model_fields
    own = {key: value for key, value in raw.items() if key in own_names}
    whole = len(own) == len(raw) and label is None
    resolved = registry.resolve("mode", text if whole else write_spec(name, own))
    mode: Mode = resolved.component
    if not isinstance(mode.turns, int) or mode.turns < 1:
        raise UsageError(f"{what}: turns is {mode.turns!r}: expected a whole number of at least 1")
    for task in tasks:
        if mode.template is not None and mode.template not in task.file.templates:
            wrong = unknown(f"template of task {task.name}", str(mode.template), task.file.templates)
            raise UsageError(f"{what}: {wrong}")
    selected = SelectedMode(
        name, "", resolved.automatic_label, mode.template, mode.options.determining(), {}, None, resolved
    )
    rest = {key: value for key, value in raw.items() if key not in own_names}
    selected = _with_options(selected, rest, tasks, parse, label)
    spec = replace(resolved.spec, label=selected.label, text=text)
    registered = replace(resolved, spec=spec, automatic_label=selected.automatic_label)
    return replace(selected, registered=registered)


def _with_options(
    mode: SelectedMode,
    raw: Mapping[str, str],
    tasks: Sequence[Task],
    parse: Callable[[Path], Template],
    label: str | None,
) -> SelectedMode:
    """Add the options of the mode's templates and of its references, and with these the label."""
    own_names = () if mode.registered is None else type(mode.registered.component.options).model_fields
    templates = [parse(file) for file in dict.fromkeys(mode.template_file(task) for task in tasks) if file is not None]
    of_templates = dict.fromkeys(name for template in templates for name in template.options.model_fields)
    uses = mode.writer.uses_references or any(template.uses_references for template in templates)
    of_references = RetrievalOptions.model_fields if uses else {}
    possible = [*own_names, *of_templates, *of_references]
    for key in raw:
        if key not in possible:
            raise unknown(f"option of mode {mode.name}", key, [*possible, "label"], shown=None)
    if twice := [name for name in possible if possible.count(name) > 1]:
        raise UsageError(f"mode {mode.name}: its option {twice[0]!r} has the name of another one: rename it")
    mode = replace(mode, given={key: value for key, value in raw.items() if key in of_templates})
    options, shown = dict(mode.options), dict[str, JSON]()
    for template in templates:
        values = mode.options_of(template)
        options = {**values.determining(), **options}
        shown |= differing(values, {})
    retrieval = None
    if uses:
        found = {key: value for key, value in raw.items() if key in of_references}
        retrieval = cast("RetrievalOptions", read_options(RetrievalOptions, found, {}, f"mode {mode.name}"))
        options |= retrieval.determining()
        shown |= differing(retrieval, {})
    automatic = _extended(mode.automatic_label, shown)
    chosen = automatic if label is None else check_label(label)
    return replace(mode, label=chosen, automatic_label=automatic, options=options, retrieval=retrieval)


def _extended(label: str, options: Mapping[str, JSON]) -> str:
    """Add options to a label, which may have some already: `refine[rounds=2]` becomes `refine[rounds=2,k=5]`."""
    more = make_label("", options)
    return f"{label[:-1]},{more[1:]}" if more and label.endswith("]") else label + more

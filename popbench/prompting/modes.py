"""Modes, as `--mode` names them: a template with options and a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from popbench.errors import unknown
from popbench.options import Options
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.retrieval import RetrievalOptions
from popbench.specs import check_label, differing, make_label, parse_spec, read_options
from popbench.tasks.task import Task


class ModeOptions(Options):
    """The options of a mode whose template uses no references: none."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode as selected: a template's name, its label on boards, and how references are found.

    `retrieval` is None where no task's template of this name uses references.
    """

    name: str
    label: str
    retrieval: RetrievalOptions | None

    @property
    def automatic_label(self) -> str:
        """The label that it has unless `label=` gives it another one."""
        return make_label(self.name, {} if self.retrieval is None else differing(self.retrieval, {}))

    def determining(self) -> dict[str, JSON]:
        """Return the options that results depend on."""
        return {} if self.retrieval is None else self.retrieval.determining()


def read_mode(text: str, tasks: Sequence[Task], parse: Callable[[Path], Template] = Template) -> Mode:
    """Read a `--mode` spec for the tasks of a run; raises UsageError for a mode or an option that one of them lacks.

    `parse` makes a template of its file; a caller with many modes gives one that parses each file once.
    """
    name, raw = parse_spec(text)
    for task in tasks:
        if name not in task.file.templates:
            raise unknown(f"mode of task {task.name}", name, task.file.templates)
    uses = any(parse(task.template(name)).uses_references for task in tasks)
    options_class: type[Options] = RetrievalOptions if uses else ModeOptions
    label = raw.pop("label", None)
    options = read_options(options_class, raw, {}, f"mode {name}")
    mode = Mode(name, "", options if isinstance(options, RetrievalOptions) else None)
    return replace(mode, label=mode.automatic_label if label is None else check_label(label))

"""Modes: a template's name with options and a label, as `--mode` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import unknown
from popbench.options import Options
from popbench.prompting.templates import Template
from popbench.records import JSON
from popbench.retrieval import RetrievalOptions
from popbench.specs import check_label, differing, make_label, parse_spec, read_options
from popbench.tasks.task import Task


class ModeOptions(Options):
    """A mode whose template uses no references has no options."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode as selected: a template's name, its label on boards, and how references are found.

    `retrieval` is None where no task's template of this name uses references.
    """

    name: str
    label: str
    retrieval: RetrievalOptions | None

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
    return Mode(
        name,
        check_label(label) if label is not None else make_label(name, differing(options, {})),
        options if isinstance(options, RetrievalOptions) else None,
    )

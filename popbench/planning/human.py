"""The human baseline as a part of a plan: its component, its name, and its method on each task."""

from __future__ import annotations

from collections.abc import Sequence

from popbench.interfaces import Component
from popbench.keys import digest
from popbench.planning.systems import Part, TaskMethod, as_part
from popbench.registry import Resolved
from popbench.specs import ComponentSpec
from popbench.tasks.task import Task

NAME = "human"
"""The name of the baseline, and the id of its system."""


class Human(Component):
    """The human-made video with the nearest title."""

    kind = "baseline"
    version = "1"


def human_part(corpus: Part, embedder: Part) -> Part:
    """Make the baseline of a corpus and an embedder."""
    human = Human()
    human.note = f"for each prompt the human-made video of {corpus.label} whose title is nearest by {embedder.label}"
    made = as_part(Resolved(ComponentSpec(kind=Human.kind, name=NAME, options={}, label=NAME, text=NAME), human))
    fingerprint = {**made.fingerprint, "corpus": corpus.fingerprint, "embedder": embedder.fingerprint}
    return Part(made.resolved, fingerprint, digest(fingerprint))


def methods(human: Part, corpus: Part, tasks: Sequence[Task]) -> list[TaskMethod]:
    """Return the baseline's method on each task.

    Its fingerprint holds the options of the corpus too: a corpus that is read from another folder is matched again.
    Matching costs little, and a video that was scored before is not scored again.
    """
    fingerprint = digest(human.digest, corpus.resolved.spec.options)
    return [TaskMethod(task, human.label, fingerprint) for task in tasks]

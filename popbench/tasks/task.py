"""A task with its prompts: which of them a limit or a shard takes, and its hash.

The hash covers name, version, prompts, categories and draft rules: what makes two results comparable. Templates are
not in it; they belong to the fingerprint of their mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from pathlib import Path

from popbench.keys import digest
from popbench.records import JSON, Prompt
from popbench.tasks.schema import TaskFile


@dataclass(frozen=True)
class Task:
    """A task with its prompts loaded."""

    file: TaskFile
    folder: Path
    prompts: tuple[Prompt, ...]

    @property
    def name(self) -> str:
        """The task's name, as seeds and samples hold it."""
        return self.file.task

    @property
    def group(self) -> str | None:
        """The name under which its tasks are pooled on boards."""
        return self.file.group

    @cached_property
    def hash(self) -> str:
        """What two results must share to be comparable."""
        return task_hash(self.name, self.file.version, self.prompts, self.rules)

    @property
    def rules(self) -> dict[str, JSON]:
        """What its drafts have to keep."""
        return self.file.draft.model_dump(mode="json")

    def template(self, mode: str) -> Path:
        """Return the template file of a mode that the task has."""
        return self.folder / self.file.templates[mode]

    @property
    def template_files(self) -> dict[str, Path]:
        """The template file of every mode."""
        return {mode: self.template(mode).resolve() for mode in self.file.templates}

    def limited(self, limit: int | None, shard: tuple[int, int] | None = None) -> tuple[Prompt, ...]:
        """Take `limit` prompts round-robin over the categories, in their order: limit N + 1 adds one to limit N.

        Of these, a shard (i, n) has those that `shards` gives the number i.
        """
        chosen = spread(self.prompts, limit)
        if shard is None:
            return chosen
        which, number = shard
        dealt = self.shards(number)
        return tuple(prompt for prompt in chosen if dealt[prompt.id] == which)

    def shards(self, number: int) -> dict[str, int]:
        """Deal the prompts out to shards, in the order in which a limit takes them: shard 1, 2, ..., `number`, 1, ...

        Return each prompt's shard by its id.
        """
        order, categories = _in_turns(self.prompts)
        period = lcm(number, categories)
        # With a common factor, shards would meet the same categories again and again: every turn begins one later.
        later = int(period < number * categories)
        return {prompt.id: (at + later * (at // period)) % number + 1 for at, prompt in enumerate(order)}


def task_hash(name: str, version: int | str, prompts: Iterable[Prompt], rules: Mapping[str, JSON]) -> str:
    """Hash what two results of a task must share."""
    return digest(name, str(version), [[prompt.id, prompt.text, prompt.category] for prompt in prompts], dict(rules))


def spread(prompts: Sequence[Prompt], limit: int | None) -> tuple[Prompt, ...]:
    """Choose `limit` prompts of a task, all for None, as `Task.limited` says; they keep their order."""
    if limit is None or limit >= len(prompts):
        return tuple(prompts)
    chosen = {prompt.id for prompt in _in_turns(prompts)[0][:limit]}
    return tuple(prompt for prompt in prompts if prompt.id in chosen)


def _in_turns(prompts: Sequence[Prompt]) -> tuple[list[Prompt], int]:
    """Order prompts round-robin over their categories; return how many categories there are, too."""
    by_category: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt)
    rounds = max(len(found) for found in by_category.values())
    order = [found[turn] for turn in range(rounds) for found in by_category.values() if turn < len(found)]
    return order, len(by_category)

"""A task with its prompts: its hash, and the prompts that a limit or a shard takes.

Two results are comparable if the hash is the same. It covers name, version, prompts, categories, further columns and
draft rules.
Templates belong to the fingerprint of their mode instead.
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
    """A task file with its prompts."""

    file: TaskFile
    folder: Path
    prompts: tuple[Prompt, ...]

    @property
    def name(self) -> str:
        """The task's name in seeds and samples."""
        return self.file.task

    @property
    def group(self) -> str | None:
        """The name under which boards pool tasks."""
        return self.file.group

    @cached_property
    def hash(self) -> str:
        """The hash that two results must share to be comparable."""
        return task_hash(self.name, self.file.version, self.prompts, self.rules)

    @property
    def rules(self) -> dict[str, JSON]:
        """The requirements on its drafts, and the question that people are asked, as JSON."""
        rules = self.file.draft
        # What a task does not have is not in its hash, which is that of before.
        question = {} if self.file.question is None else {"question": self.file.question}
        return {**rules.model_dump(mode="json", exclude=None if rules.fields else {"fields"}), **question}

    def template(self, mode: str) -> Path:
        """Return the template file of one of the task's modes."""
        return self.folder / self.file.templates[mode]

    @property
    def template_files(self) -> dict[str, Path]:
        """The template file of every mode."""
        return {mode: self.template(mode).resolve() for mode in self.file.templates}

    def limited(self, limit: int | None, shard: tuple[int, int] | None = None) -> tuple[Prompt, ...]:
        """Take `limit` prompts round-robin over the categories; limit N + 1 adds one prompt to those of limit N.

        With `shard` (i, n), only those to which `shards(n)` gives the number i.
        """
        chosen = spread(self.prompts, limit)
        if shard is None:
            return chosen
        which, number = shard
        dealt = self.shards(number)
        return tuple(prompt for prompt in chosen if dealt[prompt.id] == which)

    def shards(self, number: int) -> dict[str, int]:
        """Return the shard of each prompt by its id: prompts are dealt out in the order in which a limit takes them."""
        order, categories = _in_turns(self.prompts)
        period = lcm(number, categories)
        # If the numbers of shards and categories have a common factor, each shard would get some categories only. Then
        # each round starts one shard later.
        later = int(period < number * categories)
        return {prompt.id: (at + later * (at // period)) % number + 1 for at, prompt in enumerate(order)}


def task_hash(name: str, version: int | str, prompts: Iterable[Prompt], rules: Mapping[str, JSON]) -> str:
    """Return a task's hash."""
    told = [
        [prompt.id, prompt.text, prompt.category, *([dict(prompt.extra)] if prompt.extra else [])] for prompt in prompts
    ]
    return digest(name, str(version), told, dict(rules))


def spread(prompts: Sequence[Prompt], limit: int | None) -> tuple[Prompt, ...]:
    """Return `limit` prompts, all for None, as `Task.limited` takes them, in the task's order."""
    if limit is None or limit >= len(prompts):
        return tuple(prompts)
    chosen = {prompt.id for prompt in _in_turns(prompts)[0][:limit]}
    return tuple(prompt for prompt in prompts if prompt.id in chosen)


def _in_turns(prompts: Sequence[Prompt]) -> tuple[list[Prompt], int]:
    """Return prompts ordered round-robin over their categories, and the number of categories."""
    by_category: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt)
    rounds = max(len(group) for group in by_category.values())
    order = [group[turn] for turn in range(rounds) for group in by_category.values() if turn < len(group)]
    return order, len(by_category)

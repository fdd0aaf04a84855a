"""What the paper's tables are made of: entries with intervals and published numbers, and looking them up in runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from popbench.paper.choices import Choices
from popbench.paper.document import Words
from popbench.paper.evidence import Evidence
from popbench.paper.published import PROMPTS, published


@dataclass(frozen=True)
class Entry:
    """A number of a table; `value` is None where the runs have none, `published` where the paper has none.

    Rates are fractions. `decided`: the verdict, among all pairs of the runs, is better or worse.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None
    decided: bool = False


@dataclass(frozen=True)
class Column:
    """A column of numbers: its heading, and what it holds (`rate`, `median`, `seconds` or `mb`)."""

    name: str
    kind: str
    prompts: str = ""
    mode: str = ""


Row = tuple[Sequence[str], Sequence[Entry]]
"""The names of a row and an entry for each column."""


@dataclass(frozen=True)
class PaperTable:
    """One table in the paper's layout; `gap` says what of the paper's is missing, and how to run it."""

    number: int
    title: str
    setting: str
    names: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[Row]
    gap: Words | None = None

    @property
    def covered(self) -> bool:
        """Whether the runs hold any of it."""
        return any(entry.value is not None for _, entries in self.rows for entry in entries)

    @property
    def compared(self) -> bool:
        """Whether a published number stands beside any of the runs' own."""
        return any(
            entry.value is not None and entry.published is not None for _, entries in self.rows for entry in entries
        )


def by_prompts(kind: str) -> list[Column]:
    """Return a column for each prompt set."""
    percent = ", %" * (kind == "rate")
    return [Column(f"{prompts.capitalize()}{percent}", kind, prompts) for prompts in PROMPTS]


class Lookup:
    """Looks up what systems of the runs scored, under the choices made."""

    def __init__(self, evidence: Evidence, choices: Choices) -> None:
        self.evidence = evidence
        self.choices = choices
        self.names = choices.names
        self._there = set(evidence.systems)

    def llms(self, generator: str, modes: Iterable[str | None], needs: Any = all) -> list[str]:
        """List the LLMs that have all (or, with `any`, any) of these modes with a generator."""
        modes = list(modes)
        found = {llm for llm, _, _ in self._there if needs((llm, mode, generator) in self._there for mode in modes)}
        return self.names.order(found)

    def generators(self, llm: str, modes: Iterable[str | None], needs: Any = all) -> list[str]:
        """List the generators that have all (or, with `any`, any) of these modes with an LLM."""
        modes = list(modes)
        found = {name for _, _, name in self._there if needs((llm, mode, name) in self._there for mode in modes)}
        return self.names.order(found)

    def has(self, llm: str, mode: str, generator: str) -> bool:
        """Whether the runs have a system."""
        return (llm, mode, generator) in self._there

    def median(self, prompts: str, system: str, known: float | None, category: str | None = None) -> Entry:
        """Return a system's median on a prompt set, or on one category of it."""
        row = self.evidence.row(self.choices.tasks[prompts], system)
        if row is not None and category is not None:
            row = row["by_category"].get(category)
        if row is None:
            return Entry(published=known)
        median: Mapping[str, float | None] = row["median"]
        return Entry(median["value"], median["low"], median["high"], known)

    def rate(self, prompts: str, a: str, b: str, known: float | None) -> Entry:
        """Return the win rate of a system over another on a prompt set; the published one is in percent."""
        pair = self.evidence.pair(self.choices.tasks[prompts], a, b)
        fraction = None if known is None else known / 100
        if pair is None:
            return Entry(published=fraction)
        rate = pair["win_rate"]
        return Entry(rate["value"], rate["low"], rate["high"], fraction, pair["verdict"] in ("better", "worse"))

    def zeros(self) -> bool:
        """Whether a system has popularity 0 on some prompt of these tasks: an invalid sample's."""
        tasks = [task for task in self.choices.tasks.values() if task is not None]
        return any(0 in self.evidence.values(task, system(*parts)) for task in tasks for parts in self._there)

    def lacking(self, number: int, key: str, labels: Iterable[str]) -> list[str]:
        """Name the systems of a published table that none of these labels stands for."""
        there = {self.names.of(label) for label in labels}
        return [str(name) for name in published(number).names(key) if name not in there]

    def lacks(self, name: str, label: str) -> list[str]:
        """Name the paper's system if this label does not stand for it."""
        return [] if self.names.of(label) == name else [name]


def system(llm: str, mode: str | None, generator: str) -> str:
    """Write a system's id; a mode that the runs lack makes one that they lack."""
    return f"{llm}|{mode}|{generator}" if mode is not None else ""

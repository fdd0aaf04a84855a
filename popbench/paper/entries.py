"""The entries of the paper's tables, with intervals and published numbers, and how they are looked up in runs."""

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
    """A number of a table; `value` is None if the runs lack it, `published` if the paper does.

    Rates are fractions. `decided` means that the verdict, among all pairs of the runs, is better or worse.
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


TableRow = tuple[Sequence[str], Sequence[Entry]]
"""The names of a row and an entry for each column."""


@dataclass(frozen=True)
class PaperTable:
    """One table in the paper's layout; `gap` says what the runs lack of it, and how to run that."""

    number: int
    title: str
    setting: str
    names: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[TableRow]
    gap: Words | None = None

    @property
    def covered(self) -> bool:
        """Whether the runs hold any of it."""
        return any(entry.value is not None for _, entries in self.rows for entry in entries)

    @property
    def compared(self) -> bool:
        """Whether any of the runs' numbers has a published one beside it."""
        return any(
            entry.value is not None and entry.published is not None for _, entries in self.rows for entry in entries
        )


def by_prompts(kind: str) -> list[Column]:
    """Return a column for each prompt set."""
    percent = ", %" * (kind == "rate")
    return [Column(f"{prompts.capitalize()}{percent}", kind, prompts) for prompts in PROMPTS]


class Lookup:
    """Looks up the scores of the runs' systems, by the choices made."""

    def __init__(self, evidence: Evidence, choices: Choices) -> None:
        self.evidence = evidence
        self.choices = choices
        self.names = choices.names
        self._systems = set(evidence.systems)

    def llms(self, generator: str, modes: Iterable[str | None], needs: Any = all) -> list[str]:
        """Return the LLMs that have all (or, with `any`, any) of these modes with a generator."""
        modes = list(modes)
        llms = {llm for llm, _, _ in self._systems if needs((llm, mode, generator) in self._systems for mode in modes)}
        return self.names.order(llms)

    def generators(self, llm: str, modes: Iterable[str | None], needs: Any = all) -> list[str]:
        """Return the generators that have all (or, with `any`, any) of these modes with an LLM."""
        modes = list(modes)
        generators = {
            name for _, _, name in self._systems if needs((llm, mode, name) in self._systems for mode in modes)
        }
        return self.names.order(generators)

    def has(self, llm: str, mode: str, generator: str) -> bool:
        """Return whether the runs have a system."""
        return (llm, mode, generator) in self._systems

    def median(self, prompts: str, system: str, published_value: float | None, category: str | None = None) -> Entry:
        """Return a system's median on a prompt set, or on one category of it."""
        row = self.evidence.row(self.choices.tasks[prompts], system)
        if row is not None and category is not None:
            row = row["by_category"].get(category)
        if row is None:
            return Entry(published=published_value)
        median: Mapping[str, float | None] = row["median"]
        return Entry(median["value"], median["low"], median["high"], published_value)

    def rate(self, prompts: str, a: str, b: str, published_value: float | None) -> Entry:
        """Return the win rate of a system over another on a prompt set; the published one is in percent."""
        pair = self.evidence.pair(self.choices.tasks[prompts], a, b)
        fraction = None if published_value is None else published_value / 100
        if pair is None:
            return Entry(published=fraction)
        rate = pair["win_rate"]
        return Entry(rate["value"], rate["low"], rate["high"], fraction, pair["verdict"] in ("better", "worse"))

    def zeros(self) -> bool:
        """Return whether any sample of these tasks is invalid, which has popularity 0."""
        tasks = [task for task in self.choices.tasks.values() if task is not None]
        return any(0 in self.evidence.values(task, system(*parts)) for task in tasks for parts in self._systems)

    def lacking(self, number: int, key: str, labels: Iterable[str]) -> list[str]:
        """Return the systems of a published table for which no label stands."""
        names = {self.names.of(label) for label in labels}
        return [str(name) for name in published(number).names(key) if name not in names]

    def lacks(self, name: str, label: str) -> list[str]:
        """Return the paper's system if this label does not stand for it."""
        return [] if self.names.of(label) == name else [name]


def system(llm: str, mode: str | None, generator: str) -> str:
    """Return a system's id; for mode None, which the runs lack, an id that they lack."""
    return f"{llm}|{mode}|{generator}" if mode is not None else ""

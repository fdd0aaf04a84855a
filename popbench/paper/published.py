"""The numbers of the paper's tables 2 to 10 (LLMPopcorn, arXiv 2502.12945), as published.

Medians are of popularity as MMRA predicts it, win rates are whole percents of 100 prompts, costs are those of one H100.
Prompt sets are `concrete` and `abstract`, modes `basic` and `pe`; RAG size 0 is basic. All other names are the paper's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from popbench.records import JSON

PROMPTS = ("concrete", "abstract")
MODES = ("basic", "pe")
HUMAN = "human"
"""Table 2's human-made videos: for each prompt, the one with the most similar title."""

Key = tuple[str | int, ...]
"""The coordinates of a number, in the order of its table's `keys`."""


@dataclass(frozen=True)
class Published:
    """One table: `keys` names the parts of each entry's key, `values` names its numbers."""

    number: int
    subject: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    entries: dict[Key, tuple[float, ...]]

    def value(self, *key: str | int | None) -> float | None:
        """Return an entry's first number; None if the paper has no such entry."""
        numbers = self.entries.get(key)  # type: ignore[arg-type] # a name that is None is no key
        return None if numbers is None else numbers[0]

    def names(self, key: str) -> list[str | int]:
        """Return the values of one part of the keys, in the paper's order."""
        index = self.keys.index(key)
        return list(dict.fromkeys(entry[index] for entry in self.entries))

    def records(self) -> Iterator[dict[str, JSON]]:
        """Yield the entries as JSON objects."""
        for key, numbers in self.entries.items():
            yield dict(zip((*self.keys, *self.values), (*key, *numbers), strict=True))


@cache
def _content() -> dict[str, JSON]:
    text = (files("popbench.paper") / "published.json").read_text(encoding="utf-8")
    content: dict[str, JSON] = json.loads(text)
    return content


@cache
def published(number: int) -> Published:
    """Return one of tables 2 to 10."""
    table = _content()["tables"][str(number)]
    keys, values = tuple(table["keys"]), tuple(table["values"])
    entries = {tuple(row[: len(keys)]): tuple(row[len(keys) :]) for row in table["rows"]}
    return Published(number, table["about"], keys, values, entries)


def paper() -> dict[str, JSON]:
    """Return facts about the paper: `name`, `arxiv`, `predictor`, `prompts` in each set, `llms`, `generators`."""
    facts: dict[str, JSON] = _content()["paper"]
    return facts

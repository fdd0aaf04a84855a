"""The numbers of the paper's tables 2 to 10 (LLMPopcorn, arXiv 2502.12945), as published.

Medians are popularity as predicted by MMRA, win rates whole percents of 100 prompts, costs those of one H100. Prompt
sets are `concrete` and `abstract`, modes `basic` and `pe`; RAG size 0 stands for basic. Everything else goes by the
paper's own names.
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
"""Table 2's human-made videos: to each prompt the one whose title is nearest."""

Key = tuple[str | int, ...]
"""What a number is of, in the order of its table's `keys`."""


@dataclass(frozen=True)
class Published:
    """One table: `keys` says what each entry's key is made of, `values` what its numbers are."""

    number: int
    about: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    entries: dict[Key, tuple[float, ...]]

    def value(self, *key: str | int | None) -> float | None:
        """Return a number, the first where an entry has several; None where the paper has none."""
        found = self.entries.get(key)  # type: ignore[arg-type] # a name that is None is no key
        return None if found is None else found[0]

    def names(self, key: str) -> list[str | int]:
        """List what a part of the keys takes, in the paper's order."""
        at = self.keys.index(key)
        return list(dict.fromkeys(entry[at] for entry in self.entries))

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
    """Return what the paper is: `name`, `arxiv`, `predictor`, `prompts` in each set, `llms`, `generators`."""
    about: dict[str, JSON] = _content()["paper"]
    return about

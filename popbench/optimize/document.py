"""optimize.json: the lineage, rounds, selection and proof of a search, as docs/reference/file-formats.md says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popbench.leaderboard.pairs import rounded
from popbench.optimize.search import Candidate, Round, Search, against
from popbench.optimize.splits import Splits
from popbench.optimize.study import CANDIDATES, Study, options_text
from popbench.optimize.verdict import compared
from popbench.records import JSON, Prompt

FILE = "optimize.json"


class Document:
    """What is known of a search so far, and how it is written."""

    def __init__(self, study: Study, splits: Splits, strata: Sequence[int], *, real: bool) -> None:
        self._study, self._splits, self._strata, self._real = study, splits, strata, real
        self._categories = [prompt.category for prompt in splits.search]
        self.spent_at: dict[int, float] = {}
        """What had been spent of the budget when a candidate was tried last, by its number."""
        self.lost: set[int] = set()
        self.rounds: list[dict[str, JSON]] = []
        self.finalists: list[int] = []
        self.best: int | None = None

    def add(self, search: Search, done: Round, spent: float) -> dict[str, JSON]:
        """Take up a round; returns its row."""
        for number in done.candidates:
            self.spent_at[number] = spent
        self.lost |= set(done.lost)
        incumbent = search.candidates[done.incumbent]
        row: dict[str, JSON] = {
            "round": done.number,
            "candidates": [f"c{number}" for number in done.candidates],
            "prompts": {f"c{number}": n for number, n in done.prompts.items()},
            "looks": done.looks,
            "stop": done.stop,
            "incumbent": incumbent.id,
            "gain": self.win_rate(incumbent, search.candidates[0]),
            "spent": rounded(spent),
        }
        self.rounds.append(row)
        return row

    def win_rate(self, one: Candidate, start: Candidate) -> dict[str, JSON] | None:
        """Return a candidate's win rate against the start on the search's prompts; None for the start itself."""
        if one is start or not len(one.values):
            return None
        n = min(len(one.values), len(start.values))
        found = compared(one.values[:n], start.values[:n], self._strata[:n], real=self._real)
        return {**found["win_rate"], **{name: found[name] for name in ("n", "wins", "losses", "ties")}}

    def _by_category(self, one: Candidate, start: Candidate) -> dict[str, JSON]:
        if one is start or not len(one.values):
            return {}
        y = against(one, start, real=self._real)[0]
        categories = np.array(self._categories[: len(y)])
        return {
            category: {
                "value": rounded(float(np.mean(y[categories == category], dtype=np.float64))),
                "n": int((categories == category).sum()),
            }
            for category in sorted(set(categories.tolist()))
        }

    def lineage(self, one: Candidate) -> dict[str, JSON]:
        """Return what a candidate is, without what it was worth."""
        return {
            "id": one.id,
            "parents": [f"c{number}" for number in one.parents],
            "by": one.by,
            "round": one.round,
            "changes": dict(one.changes),
            "why": one.why,
        }

    def row(self, one: Candidate, start: Candidate) -> dict[str, JSON]:
        """Return a candidate's row."""
        return {
            **self.lineage(one),
            "template": f"{CANDIDATES}/{one.id}.j2",
            "text": self._study.text_of(one.changes),
            "options": options_text(self._study.options_of(one.changes)),
            "llm": self._study.llm_of(one.changes).resolved.spec.text,
            "status": self._status(one),
            "prompts": len(one.values),
            "win_rate": self.win_rate(one, start),
            "by_category": self._by_category(one, start),
            "spent": rounded(self.spent_at.get(one.number, 0.0)),
        }

    def _status(self, one: Candidate) -> str:
        if one.number == self.best:
            return "best"
        if one.number in self.finalists:
            return "selected"
        return "start" if not one.number else "lost" if one.number in self.lost else "kept"

    def content(self, search: Search, rest: Mapping[str, JSON]) -> dict[str, Any]:
        """Return the whole file."""
        start = search.candidates[0]
        return {
            "schema": 1,
            **rest,
            "splits": {name: _split(prompts) for name, prompts in self._splits.parts().items()},
            "candidates": [self.row(one, start) for one in search.candidates],
            "rounds": self.rounds,
        }


def _split(prompts: Sequence[Prompt]) -> dict[str, JSON]:
    categories = sorted({prompt.category for prompt in prompts})
    return {
        "n": len(prompts),
        "categories": {name: sum(prompt.category == name for prompt in prompts) for name in categories},
        "prompts": [[prompt.task, prompt.id] for prompt in prompts],
    }

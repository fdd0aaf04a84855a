"""What the drafts of a run's samples cost: calls, tokens and USD, by LLM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from popbench.records import JSON, Sample
from popbench.text import counted, dollars, tokens


class Totals:
    """Adds up calls, tokens and USD by LLM; a draft that several generators render is counted once.

    Of the systems of an LLM and a mode, which share their drafts, those of the first count.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, JSON]] = {}
        self._counted: dict[tuple[str, str | None], str] = {}

    def add(self, sample: Sample) -> None:
        """Add what the draft of a sample cost, unless it is counted already."""
        if sample.llm is None or self._counted.setdefault((sample.llm, sample.mode), sample.system) != sample.system:
            return
        row = self._rows.get(sample.llm)
        if row is None:
            row = {"llm": sample.llm, "calls": 0, "uncounted": 0, "usage": Counter(), "cost": None}
            self._rows[sample.llm] = row
        row["calls"] += sample.attempts
        if sample.usage:
            row["usage"].update(sample.usage)
        else:
            row["uncounted"] += sample.attempts
        if sample.cost is not None:
            row["cost"] = (row["cost"] or 0.0) + sample.cost

    def rows(self) -> list[dict[str, JSON]]:
        """Return a row for each LLM.

        `cost` is None for one that knows no prices; `uncounted` are the calls of drafts whose usage nobody told.
        """
        return [{**row, "usage": dict(row["usage"])} for row in self._rows.values()]


def totals(samples: Iterable[Sample]) -> list[dict[str, JSON]]:
    """Add samples up as `Totals` does."""
    sums = Totals()
    for sample in samples:
        sums.add(sample)
    return sums.rows()


def sentences(rows: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Say in one line each what LLMs that count tokens have used."""
    for row in rows:
        if row["usage"]:
            spent = "" if row["cost"] is None else f", {dollars(row['cost'])}"
            lacking = f" (without {counted(row['uncounted'], 'call')} of unknown usage)" if row["uncounted"] else ""
            yield f"{row['llm']}: {counted(row['calls'], 'call')}, {tokens(row['usage'])}{spent}{lacking}"

"""Adds up the costs of a run's drafts: calls, tokens and USD, by LLM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from popbench.records import JSON, Sample
from popbench.text import counted, dollars, tokens


class Totals:
    """Adds up calls, tokens and USD by LLM.

    The systems of an LLM and a mode share their drafts, so only the drafts of the first such system are counted.
    """

    def __init__(self, priced: Collection[str] = ()) -> None:
        """`priced` are the LLMs that are known to have prices."""
        self._priced = priced
        self._rows: dict[str, dict[str, JSON]] = {}
        self._counted: dict[tuple[str, str | None], str] = {}

    def add(self, sample: Sample) -> None:
        """Add the costs of a sample's draft, unless another system's sample already counted it."""
        if sample.llm is None or self._counted.setdefault((sample.llm, sample.mode), sample.system) != sample.system:
            return
        row = self._rows.get(sample.llm)
        if row is None:
            cost = 0.0 if sample.llm in self._priced else None
            row = {"llm": sample.llm, "calls": 0, "uncounted": 0, "usage": Counter(), "cost": cost}
            self._rows[sample.llm] = row
        row["calls"] += sample.attempts
        if sample.usage:
            row["usage"].update(sample.usage)
            row["uncounted"] += sample.uncounted
        else:
            row["uncounted"] += sample.attempts
        if sample.cost is not None:
            row["cost"] = (row["cost"] or 0.0) + sample.cost

    def rows(self) -> list[dict[str, JSON]]:
        """Return a row for each LLM.

        `cost` is None if the LLM knows no prices; `uncounted` are the calls of unknown usage, whose cost is not in it.
        """
        return [{**row, "usage": dict(row["usage"])} for row in self._rows.values()]


def totals(samples: Iterable[Sample]) -> list[dict[str, JSON]]:
    """Return the rows of `Totals` for some samples."""
    sums = Totals()
    for sample in samples:
        sums.add(sample)
    return sums.rows()


def sentences(rows: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Yield a line about the usage of each LLM that counts tokens, or has prices."""
    for row in rows:
        calls, uncounted, cost = counted(row["calls"], "call"), row["uncounted"], row["cost"]
        some = f"{uncounted:,} of {calls}"
        if row["usage"]:
            spent = "" if cost is None else f", {dollars(cost)}"
            unknown = f"unknown for {some}: the server told no usage"
            lacking = f" ({'usage' if cost is None else 'spend'} {unknown})"
            yield f"{row['llm']}: {calls}, {tokens(row['usage'])}{spent}{lacking if uncounted else ''}"
        elif cost is not None and uncounted:
            yield f"{row['llm']}: {calls}, spend unknown: the server told no usage for {some}"

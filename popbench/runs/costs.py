"""Adds up the costs of a run by component: calls, what they took, and USD.

A row is of one component, which it names under its kind: `{"llm": "gpt-4o", ...}`, `{"generator": "veo", ...}`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from popbench.ledger.sums import usage_of
from popbench.records import JSON, Sample
from popbench.text import amounts, counted, dollars, tokens

if TYPE_CHECKING:  # boards import this module, and need no components
    from popbench.planning.systems import Part

Kind = Literal["llm", "generator", "predictor"]
MADE: Mapping[str, str] = {"llm": "draft", "generator": "clip", "predictor": "score"}
"""What components of each kind make."""


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


@dataclass(slots=True)
class _Calls:
    """The different calls of one component: of those that said what they took, and of the others, hashes of keys."""

    part: Part
    told: set[int] = field(default_factory=set)
    untold: array[int] = field(default_factory=lambda: array("q"))
    usage: Counter[str] = field(default_factory=Counter)


class CallTotals:
    """Adds up what generators and predictors took. A call that several samples share counts once."""

    def __init__(self) -> None:
        self._calls: dict[tuple[Kind, str], _Calls] = {}

    def add(self, kind: Kind, part: Part, key: str, usage: Mapping[str, float]) -> None:
        """Add a call by its key; `usage` is empty if it is unknown."""
        calls = self._calls.get((kind, part.label))
        if calls is None:
            calls = self._calls[kind, part.label] = _Calls(part)
        if not usage:
            calls.untold.append(hash(key))  # eight bytes a call: there may be a million
        elif (code := hash(key)) not in calls.told:
            calls.told.add(code)
            calls.usage.update(usage)

    def rows(self) -> Iterator[dict[str, JSON]]:
        """Yield a row for each component that says what it took, or what it will cost. Raises RunError as `cost`."""
        for kind, label in sorted(self._calls, key=lambda of: list(MADE).index(of[0])):
            calls = self._calls[kind, label]
            priced = calls.part.estimate(1) is not None
            if not (calls.told or priced):
                continue
            cost = calls.part.cost(calls.usage) if calls.told else 0.0
            uncounted = len(set(calls.untold))
            number = len(calls.told) + uncounted
            usage = dict(calls.usage)
            yield {kind: label, "calls": number, "uncounted": uncounted, "usage": usage, "cost": cost}


def add_failed(
    rows: list[dict[str, JSON]], parts: Iterable[tuple[Kind, Part]], failed: Sequence[tuple[str, str, float]]
) -> None:
    """Add to the rows, as `failed`, the USD that failed calls cost, None if unknown; `failed` is of the ledger."""
    digests = {digest for digest, _, _ in failed}
    for kind, part in parts:
        if part.digest not in digests:
            continue
        digests.remove(part.digest)  # components that are equal but for their labels share what they cost
        row = next((row for row in rows if row.get(kind) == part.label), None)
        if row is None:
            row = {kind: part.label, "calls": 0, "uncounted": 0, "usage": {}, "cost": None}
            rows.append(row)
        row["failed"] = part.cost(usage_of(kind, part.digest, failed))


def named(row: Mapping[str, JSON]) -> tuple[str, str]:
    """Return the kind and label of a row's component; raises KeyError for a row that names none."""
    kind = next((kind for kind in MADE if kind in row), "llm")
    return kind, row[kind]


def totals(samples: Iterable[Sample]) -> list[dict[str, JSON]]:
    """Return the rows of `Totals` for some samples."""
    sums = Totals()
    for sample in samples:
        sums.add(sample)
    return sums.rows()


def sentences(rows: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Yield a line about each component that says what its calls took, or has prices."""
    for row in rows:
        kind, label = named(row)
        calls, uncounted, usage, cost = counted(row["calls"], "call"), row["uncounted"], row["usage"], row["cost"]
        some = f"{uncounted:,} of {calls}"
        parts = [f"{MADE[kind]}s by {label}: {calls}"]
        if usage:
            unknown = f"unknown for {some}: the server told no usage"
            lacking = f" ({'usage' if cost is None else 'spend'} {unknown})" if uncounted else ""
            spent = [] if cost is None else [dollars(cost)]
            if cost is None and kind != "llm":
                spent = ["spend unknown"]
            parts += [tokens(usage) if kind == "llm" else amounts(usage), *spent]
            parts[-1] += lacking
        elif cost is not None and uncounted:
            parts.append(f"spend unknown: the server told no usage for {some}")
        if "failed" in row:
            failed = "unknown spend" if row["failed"] is None else dollars(row["failed"])
            parts.append(f"and {failed} for calls that failed")
        if len(parts) > 1:
            yield ", ".join(parts)

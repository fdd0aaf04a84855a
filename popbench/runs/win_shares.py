"""Scores by a predictor that compares pairs: the share of a sample's comparisons that it won.

A pair counts once both answers are there, the one for either order, and then by their mean: a preference for a place
cancels. How strong that preference is is measured on the way. An invalid sample loses to every other without a call.
A refusal says nothing about who is better, so the pair is left out; a sample of which nothing is left is invalid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from popbench import stats
from popbench.interfaces import balanced
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView, PairResult, StageResult
from popbench.planning.pairs import Pair, opponents_of_each
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.records import JSON
from popbench.runs.costs import CallTotals
from popbench.text import counted

PENDING = "pending: not done yet"
_TIE, _WIN = 0.5, 1.0


@dataclass(slots=True)
class _Tally:
    """What is known of a sample's comparisons: `won` of `pairs`, refused ones, and why others are missing."""

    won: float = 0.0
    pairs: int = 0
    refused: int = 0
    refusal: str = ""
    missing: str = ""
    seconds: float = 0.0
    usage: Counter[str] = field(default_factory=Counter)

    def score(self) -> StageResult | str:
        """Return the sample's score, or why there is none."""
        if self.missing:
            return self.missing
        costs: dict[str, JSON] = {"seconds": self.seconds, "peak_memory_mb": None, "notes": []}
        if self.usage:
            costs["usage"] = dict(self.usage)
        if not self.pairs:
            error = self.refusal or "all systems that it is compared with are invalid, as it is"
            return StageResult("invalid", {"error": error}, "", {**costs, "error": error})
        if self.refused:
            costs["notes"] = [f"{counted(self.refused, 'comparison')} refused and left out: {self.refusal}"]
        return StageResult("ok", {}, "", {**costs, "popularity": self.won / self.pairs})


class WinShares:
    """The scores of one predictor that compares pairs, of all samples of a plan."""

    def __init__(
        self, plan: Plan, part: Part, view: LedgerView, errors: ResultErrors, calls: CallTotals | None = None
    ) -> None:
        """Read all comparisons; `calls` adds up what they took."""
        self._part, self._errors, self._calls = part, errors, calls
        self._tallies: dict[tuple[str, str, str, int], _Tally] = {}
        self._first: dict[tuple[str, str], list[float]] = {}
        self._agreed: list[bool] = []
        self.systems = len(plan.systems) + (plan.human is not None)
        pairs = {(_task(pair), pair.first, pair.second): pair for pair in plan.comparisons(part)}
        self.comparisons = sum(len(pair.samples) for pair in pairs.values())
        """Those that there is something to compare in."""
        for (task, one, other), pair in pairs.items():
            if one < other:
                self._add_pair(view, pair, pairs[task, other, one])

    def score(self, system: str, task: str, prompt: str, repeat: int) -> StageResult | str:
        """Return the score of a sample, or why there is none."""
        tally = self._tallies.get((system, task, prompt, repeat))
        return PENDING if tally is None else tally.score()

    @property
    def about(self) -> dict[str, JSON]:
        """Return what run.json says: what was compared, and how strongly a place was preferred, if that is known."""
        about: dict[str, JSON] = {"systems": self.systems, "comparisons": self.comparisons}
        opponents = self._part.resolved.component.opponents
        if (each := opponents_of_each(self.systems, opponents)) < self.systems - 1:
            about["opponents"] = each
        if not self._agreed:
            return about
        chosen = np.array([sum(of) / len(of) for of in self._first.values()])
        low, high = stats.korn_graubard(chosen[None], np.zeros(len(chosen), np.int64))
        return about | {
            "pairs": len(self._agreed),
            "first": round(float(chosen.mean()), 6),
            "first_interval": [round(float(low[0]), 6), round(float(high[0]), 6)],
            "agree": round(sum(self._agreed) / len(self._agreed), 6),
        }

    def _add_pair(self, view: LedgerView, pair: Pair, back: Pair) -> None:
        """Add the comparisons of two systems, in both orders."""
        names = pair.first, pair.second
        for there, again in zip(view.pairs(pair.samples), view.pairs(back.samples), strict=True):
            tallies = [self._tally(name, there) for name in names]
            lost = there.lost
            if any(lost):
                self.comparisons -= 2
                for tally, invalid in zip(tallies, lost[::-1], strict=True):
                    tally.won += _WIN * invalid
                    tally.pairs += invalid
                continue
            missing = self._missing(pair, there) or self._missing(back, again)
            results = [result for result in (there.result, again.result) if result is not None]
            for result in results:
                self._add_costs(tallies, result)
            if missing or len(results) < 2:
                for tally in tallies:
                    tally.missing = tally.missing or missing or PENDING
                continue
            refusals = [str(result.payload["error"]) for result in results if not result.ok]
            for tally in tallies:
                tally.refused += bool(refusals)
                tally.refusal = tally.refusal or next(iter(refusals), "")
            if not refusals:
                self._add_answers(there, tallies, *(float(result.payload["popularity"]) for result in results))

    def _add_answers(self, there: PairResult, tallies: list[_Tally], first: float, second: float) -> None:
        """Add a pair's answers: how far the first clip was preferred with the one side first, and with the other."""
        share = balanced(first, second)
        for tally, won in zip(tallies, (share, 1 - share), strict=True):
            tally.won += won
            tally.pairs += 1
        self._first.setdefault((there.prompt.task, there.prompt.id), []).append((first + second) / 2)
        self._agreed.append(np.sign(first - _TIE) == -np.sign(second - _TIE))

    def _tally(self, system: str, there: PairResult) -> _Tally:
        return self._tallies.setdefault((system, there.prompt.task, there.prompt.id, there.repeat), _Tally())

    def _missing(self, pair: Pair, there: PairResult) -> str:
        """Return why a comparison is missing; empty if it is not."""
        if there.result is not None:
            return ""
        for name, side in zip((pair.first, pair.second), there.sides, strict=True):
            if side is None:
                return f"pending: {name}, which it is compared with, has no clip yet"
        samples = pair.samples
        keys = samples.stage_key("score"), samples.method.stage_key("score", *samples.parts)  # the other of a shard
        told = (self._errors.why(key, there.prompt.id, there.repeat) for key in keys)
        return next(filter(None, told), None) or PENDING

    def _add_costs(self, tallies: list[_Tally], result: StageResult) -> None:
        """Count a call, half of which falls to each of the two samples."""
        usage: Mapping[str, float] = result.payload.get("usage") or {}
        if self._calls is not None:
            self._calls.add("predictor", self._part, result.key, usage)
        for tally in tallies:
            tally.seconds += (result.payload["seconds"] or 0.0) / 2
            tally.usage.update({kind: number / 2 for kind, number in usage.items()})


def _task(pair: Pair) -> str:
    return pair.samples.method.task.name

"""Summarises the costs of each stage: median seconds, tokens and USD of a draft, a clip or a score, and peak memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from popbench.records import Sample
from popbench.report.numbers import DASH, memory, seconds
from popbench.text import dollars

_Key = tuple[object, ...]


class _ComponentCosts:
    """The costs of one component's calls."""

    def __init__(self) -> None:
        self.seconds, self.costs = array("d"), array("d")
        self.tokens = {"input": array("d"), "output": array("d")}
        self.peak: float | None = None
        self.peaks = 0

    def add(self, sample: Sample, field: str) -> None:
        took, peak = sample.seconds.get(field), sample.peak_memory_mb.get(field)
        if took is not None:
            self.seconds.append(took)
        if peak is not None:
            self.peak = peak if self.peak is None else max(self.peak, peak)
            self.peaks += 1

    def spend(self, sample: Sample) -> None:
        if sample.usage:
            for kind, counts in self.tokens.items():
                counts.append(sample.usage.get(kind, 0))
        self.pay(sample.cost)

    def pay(self, usd: float | None) -> None:
        if usd is not None:
            self.costs.append(usd)


class StageCosts:
    """Collects the costs of a run's samples, one sample at a time.

    The systems of an LLM and a mode share their drafts, so only the drafts of the first such system are counted. Of
    several predictors, samples hold the first one's time and memory.
    """

    def __init__(self) -> None:
        self._counted: dict[_Key, str] = {}
        self._drafts: dict[_Key, _ComponentCosts] = {}
        self._clips: dict[_Key, _ComponentCosts] = {}
        self._scores: dict[_Key, _ComponentCosts] = {}

    def add(self, sample: Sample) -> None:
        """Add a sample's costs."""
        key: _Key = (sample.llm, sample.mode)
        if sample.llm is not None and self._counted.setdefault(key, sample.system) == sample.system:
            draft_costs = _of(self._drafts, key)
            draft_costs.add(sample, "llm")
            draft_costs.spend(sample)
        if sample.generator is not None:
            clip_costs = _of(self._clips, (sample.generator,))
            clip_costs.add(sample, "generate")
            clip_costs.pay(sample.costs.get("generate"))
        if sample.scores:
            score_costs = _of(self._scores, (next(iter(sample.scores)),))
            score_costs.add(sample, "predict")
            if len(sample.scores) == 1:  # samples hold the sum of all
                score_costs.pay(sample.costs.get("predict"))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each LLM and mode, each generator and the first predictor, if a cost is known."""
        rows = [*_rows("draft", self._drafts), *_rows("clip", self._clips), *_rows("score", self._scores)]
        return [row for row in rows if row["n"]]


def _of(groups: dict[_Key, _ComponentCosts], key: _Key) -> _ComponentCosts:
    costs = groups.get(key)
    if costs is None:
        costs = groups[key] = _ComponentCosts()
    return costs


def _rows(stage: str, groups: Mapping[_Key, _ComponentCosts]) -> Iterator[dict[str, Any]]:
    for key, costs in sorted(groups.items(), key=lambda item: tuple(map(str, item[0]))):
        quartiles = [float(part) for part in np.quantile(costs.seconds, (0.25, 0.5, 0.75))] if costs.seconds else None
        row: dict[str, Any] = {
            "stage": stage,
            "name": " · ".join(map(str, key)),
            "n": len(costs.seconds) or costs.peaks,
            "seconds": quartiles,
            "memory": memory(costs.peak),
            "tokens": DASH,
            "cost": DASH,
            "median": DASH,
            "quartiles": "",
        }
        row |= _spent(costs)
        if quartiles:
            low, middle, high = quartiles
            row |= {"median": seconds(middle), "quartiles": f"{seconds(low)} – {seconds(high)}"}
        yield row


def _spent(costs: _ComponentCosts) -> dict[str, str]:
    tokens = " + ".join(f"{np.median(counts):,.0f}" for counts in costs.tokens.values() if counts)
    return {"tokens": tokens or DASH, "cost": dollars(float(np.median(costs.costs))) if costs.costs else DASH}

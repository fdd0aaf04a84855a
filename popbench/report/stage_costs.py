"""What each stage took: seconds, memory, tokens and USD of a draft, a clip and a score, in the median."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from popbench.records import Sample
from popbench.report.numbers import DASH, memory, seconds
from popbench.text import dollars

_Key = tuple[object, ...]


class _Took:
    """The numbers of one component's share."""

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
        if sample.cost is not None:
            self.costs.append(sample.cost)


class Stages:
    """Takes down what the samples that pass by took.

    A draft that several generators render counts once: of the systems of an LLM and a mode, which share their drafts,
    those of the first do. Of several predictors, samples hold the first one's time and memory.
    """

    def __init__(self) -> None:
        self._counted: dict[_Key, str] = {}
        self._drafts: dict[_Key, _Took] = {}
        self._clips: dict[_Key, _Took] = {}
        self._scores: dict[_Key, _Took] = {}

    def add(self, sample: Sample) -> None:
        """Take a sample's numbers."""
        key: _Key = (sample.llm, sample.mode)
        if sample.llm is not None and self._counted.setdefault(key, sample.system) == sample.system:
            took = _of(self._drafts, key)
            took.add(sample, "llm")
            took.spend(sample)
        if sample.generator is not None:
            _of(self._clips, (sample.generator,)).add(sample, "generate")
        if sample.scores:
            _of(self._scores, (next(iter(sample.scores)),)).add(sample, "predict")

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each LLM and mode, each generator and the first predictor, where something is known."""
        rows = [*_rows("draft", self._drafts), *_rows("clip", self._clips), *_rows("score", self._scores)]
        return [row for row in rows if row["n"]]


def _of(groups: dict[_Key, _Took], key: _Key) -> _Took:
    found = groups.get(key)
    if found is None:
        found = groups[key] = _Took()
    return found


def _rows(stage: str, groups: Mapping[_Key, _Took]) -> Iterator[dict[str, Any]]:
    for key, took in sorted(groups.items(), key=lambda item: tuple(map(str, item[0]))):
        quartiles = [float(part) for part in np.quantile(took.seconds, (0.25, 0.5, 0.75))] if took.seconds else None
        row: dict[str, Any] = {
            "stage": stage,
            "name": " · ".join(map(str, key)),
            "n": len(took.seconds) or took.peaks,
            "seconds": quartiles,
            "memory": memory(took.peak),
            "tokens": DASH,
            "cost": DASH,
            "median": DASH,
            "quartiles": "",
        }
        if stage == "draft":
            row |= _spent(took)
        if quartiles:
            low, middle, high = quartiles
            row |= {"median": seconds(middle), "quartiles": f"{seconds(low)} – {seconds(high)}"}
        yield row


def _spent(took: _Took) -> dict[str, str]:
    tokens = " + ".join(f"{np.median(counts):,.0f}" for counts in took.tokens.values() if counts)
    return {"tokens": tokens or DASH, "cost": dollars(float(np.median(took.costs))) if took.costs else DASH}

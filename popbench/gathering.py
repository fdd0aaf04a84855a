"""What a run's samples come to, taken while they pass by once: nothing is kept of one but its scores, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from popbench.costs import Totals
from popbench.leaderboard.sources import Gathering
from popbench.records import Sample

REASONS = 10_000
"""Reasons that are told apart at most."""


class Gathered:
    """Counts samples as they go through it: `n`, `errors` and `invalid`, and `reasons` of the invalid ones.

    `systems` are in the order in which they were met, `ranked` those of them with any result; `totals` adds up costs.
    """

    def __init__(self) -> None:
        self.n = self.errors = self.invalid = 0
        self.reasons: Counter[str] = Counter()
        self.systems: dict[str, None] = {}
        self.ranked: set[str] = set()
        self.totals = Totals()

    def through(self, samples: Iterable[Sample], scores: Gathering | None = None) -> Iterator[Sample]:
        """Yield the samples, each after it was counted, and after `scores` took it."""
        for sample in samples:
            self.add(sample)
            if scores is not None:
                scores.add(sample)
            yield sample

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.n += 1
        self.systems[sample.system] = None
        self.totals.add(sample)
        if sample.status == "error":
            self.errors += 1
            return
        self.ranked.add(sample.system)
        if sample.status == "invalid":
            self.invalid += 1
            reason = sample.error or "no reason given"
            if reason in self.reasons or len(self.reasons) < REASONS:
                self.reasons[reason] += 1

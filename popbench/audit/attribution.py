"""Computes the rows of an audit from scores before and after changes: shares of variance, shifts, reordered pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popbench.records import JSON, Sample
from popbench.stats.agreement import reordered_pairs
from popbench.stats.variance import GroupResamples, change_share, medians, r_squared, swap_share, swap_shares, variance

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

RESAMPLES = 2000


@dataclass(frozen=True)
class Pairs:
    """Samples paired across prompts, with the scores after each part was swapped between the two.

    `swapped` holds by part the scores of the first sample with the second one's part, and of the second with the
    first one's. Where there are two parts, both hold the same scores, in the other order.
    """

    first: Ints
    second: Ints
    round: Ints
    swapped: Mapping[str, tuple[Floats, Floats]]


class Attribution:
    """The statistics of one predictor on some samples. Scores are log2 popularity, or as they are on a `real` scale.

    They are NaN for none.
    """

    def __init__(
        self, samples: Sequence[Sample], scores: Floats, pairs: Pairs, seed: int, *, real: bool = False
    ) -> None:
        self._s = scores
        self._real = real
        self._pairs = pairs
        self._prompts = _codes([(sample.task, sample.prompt_id) for sample in samples])
        self._cells = _codes([(sample.task, sample.prompt_id, sample.repeat) for sample in samples])
        self._resamples = GroupResamples.draw(int(self._prompts.max()) + 1, RESAMPLES, seed)
        # All samples of a cell are of one prompt.
        self._prompt_of_cell = np.zeros(int(self._cells.max()) + 1, np.int64)
        self._prompt_of_cell[self._cells] = self._prompts

    def swaps(self) -> dict[str, Any]:
        """Return the rows of the parts, and `remainder`, `shared`, `together`, `difference`, `variance`.

        `shared`, `together` and `difference` are of two parts, and left out where there are more or only one.
        """
        pairs, names = self._pairs, list(self._pairs.swapped)
        s_i, s_j = self._s[pairs.first], self._s[pairs.second]
        complete = np.isfinite([s_i, s_j, *(scores for swapped in pairs.swapped.values() for scores in swapped)]).all(0)
        mean = self._mean(complete)
        s_i, s_j = s_i[complete], s_j[complete]
        swapped = {name: (x[complete], y[complete]) for name, (x, y) in pairs.swapped.items()}
        if len(names) == 2:
            of_two = swap_shares(s_i, s_j, *swapped[names[0]], mean)
            shares = dict(zip(names, (of_two["a"], of_two["b"]), strict=True))
            whole = {name: of_two[name] for name in ("remainder", "shared", "together")}
            whole["difference"] = of_two["a"] - of_two["b"]
        else:
            shares = {name: swap_share(s_i, s_j, x, y, mean) for name, (x, y) in swapped.items()}
            whole = {"remainder": 1 - np.sum(list(shares.values()), axis=0)}
        rounds = self._after_swaps()
        lost = {part: np.concatenate([self._s - after for after in rounds[part]]) for part in rounds}
        rows = [
            {
                "change": part,
                "n": int(2 * complete.sum()),
                "share": self._interval(shares[part]),
                **self._effect(lost[part], np.tile(self._prompts, len(rounds[part]))),
                "reordered": self._reordered([(self._s, after) for after in rounds[part]]),
            }
            for part in names
        ]
        return {
            "rows": rows,
            **{name: self._interval(share) for name, share in whole.items()},
            "variance": self._interval(variance(s_i, s_j, mean)),
        }

    def change(self, name: str, after: Floats, before: Floats | None = None) -> dict[str, JSON]:
        """Return the row of a change of all samples; `before` are the scores to compare with."""
        before = self._s if before is None else before
        lost = before - after
        first, second = self._pairs.first, self._pairs.second
        s_i, s_j, d_i, d_j = self._s[first], self._s[second], lost[first], lost[second]
        complete = np.isfinite(s_i) & np.isfinite(s_j) & np.isfinite(d_i) & np.isfinite(d_j)
        share = change_share(s_i[complete], s_j[complete], d_i[complete], d_j[complete], self._mean(complete))
        return {
            "change": name,
            "n": int(np.isfinite(lost).sum()),
            "share": self._interval(share),
            **self._effect(lost, self._prompts),
            "reordered": self._reordered([(before, after)]),
        }

    def covariate(self, name: str, values: Floats) -> dict[str, JSON]:
        """Return R^2 of the scores on one number per sample; null if the number is the same for all."""
        scored = np.isfinite(self._s) & np.isfinite(values)
        fit = r_squared(values[scored], self._s[scored], self._prompts[scored], self._resamples)
        constant = not scored.any() or bool(np.ptp(values[scored]) == 0)
        squared = None if fit is None else self._interval(fit)
        return {"name": name, "n": int(scored.sum()), "constant": constant, "r_squared": squared}

    def _after_swaps(self) -> dict[str, list[Floats]]:
        """Return every sample's scores after each round of swaps; with an odd number, one sample is in two pairs."""
        pairs = self._pairs
        after: dict[str, list[Floats]] = {part: [] for part in pairs.swapped}
        for number in range(int(pairs.round.max()) + 1):
            chosen = np.flatnonzero(pairs.round == number)[::-1]  # the first pair of a sample counts
            i, j = pairs.first[chosen], pairs.second[chosen]
            for part, (x, y) in pairs.swapped.items():
                scores = np.full(len(self._s), np.nan)
                scores[j] = y[chosen]
                scores[i] = x[chosen]
                after[part].append(scores)
        return after

    def _mean(self, complete: Any) -> Any:
        first, second = self._prompts[self._pairs.first[complete]], self._prompts[self._pairs.second[complete]]
        return lambda values: self._resamples.pair_means(values, first, second)

    def _effect(self, lost: Floats, prompts: Ints) -> dict[str, JSON]:
        """Return the median effect of a change: a `factor` of popularity, on a real scale a `shift` of the score."""
        scored = np.isfinite(lost)
        found = medians(-lost[scored], prompts[scored], self._resamples)
        return {"shift": self._interval(found)} if self._real else {"factor": self._interval(2.0**found)}

    def _reordered(self, changes: Sequence[tuple[Floats, Floats]]) -> JSON:
        counts = np.zeros((self._resamples.counts.shape[1], 2))
        for before, after in changes:
            np.add.at(counts, self._prompt_of_cell, np.column_stack(reordered_pairs(before, after, self._cells)))
        reordered, pairs = (self._resamples.counts @ counts).T
        with np.errstate(invalid="ignore"):
            return self._interval(reordered / pairs)

    def _interval(self, statistic: Floats) -> JSON:
        ends = self._resamples.interval(statistic)
        if ends is None:
            return None
        return {key: rounded(number) for key, number in zip(("value", "low", "high"), ends, strict=True)}


def rounded(number: float) -> float | None:
    """Return ten significant digits, as more of them differ between machines; None for NaN and infinity."""
    return float(f"{number:.10g}") if math.isfinite(number) else None


def _codes(names: Sequence[tuple[object, ...]]) -> Ints:
    numbers: dict[tuple[object, ...], int] = {}
    return np.asarray([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def compare(
    stored: Mapping[int, float], scores: Floats, tolerance: float = 1e-4, *, real: bool = False
) -> dict[str, JSON]:
    """Count the run's scores, by sample, that differ from `scores` by more than `tolerance` of their size.

    On a `real` scale, where a score may be 0, it is `tolerance` of their standard deviation.
    """
    spread = float(np.std(list(stored.values()))) if real and stored else 0.0
    off = {
        number: abs(float(scores[number]) - popularity) / (spread or 1.0)
        if real
        else abs(2.0 ** float(scores[number]) / popularity - 1)
        for number, popularity in stored.items()
        if math.isfinite(scores[number])
    }
    return {
        "compared": len(off),
        "differ": sum(value > tolerance for value in off.values()),
        "largest": rounded(max(off.values(), default=0.0)),
    }

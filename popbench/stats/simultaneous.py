"""Inference on many pairs: simultaneous intervals, verdicts and adjusted p-values, which say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from . import _arrays
from ._arrays import Float64s
from .intervals import korn_graubard

Verdicts = NDArray[np.int8]
"""1 if the first system of a pair is better, -1 if it is worse, 0 if the data do not decide."""


@dataclass(frozen=True, eq=False)
class MaxT:
    """The null distribution of a family of pairs that are judged together: of the largest |Z - mean| / sd over them.

    Critical values and adjusted p-values are read off the same distribution, so that they agree at every level.

    Attributes:
        statistics: the largest statistic of each resample, ascending.
        probabilities: of a largest statistic up to each of these; linear in between.
        comparisons: pairs in the family.

    Source: max-t of Romano and Wolf 2005, Econometrica 73, over bootstrap resamples.
    """

    statistics: Float64s
    probabilities: Float64s
    comparisons: int

    @classmethod
    def of(cls, furthest: ArrayLike, comparisons: int) -> MaxT:
        """Make the distribution of what `Resamples.intervals_and_furthest` returns for so many pairs.

        Raises:
            ValueError: if `furthest` is not 1-D or empty.
        """
        statistics = np.sort(np.asarray(furthest, dtype=np.float64))
        if statistics.ndim != 1 or not statistics.size:
            raise ValueError(f"a distribution needs the axis (resamples), got the shape {statistics.shape}")
        return cls(statistics, np.linspace(0, 1, len(statistics)), comparisons)

    def among(self, families: int) -> MaxT:
        """Return the distribution over so many families that are judged together, each by its own statistics.

            P(largest statistic of all up to z) = P(that of this family up to z)^families

        Critical values of every one of them then hold together where families share no prompt (Sidak); where they do,
        on the safe side.
        """
        return MaxT(self.statistics, self.probabilities**families, self.comparisons * families)

    def critical_value(self, level: float = 0.95) -> float:
        """Return the `level` quantile, at least that of a single normal comparison, at most Bonferroni's.

        Raises:
            ValueError: if `level` is not between 0 and 1.
        """
        alpha = _arrays.tail(level)
        quantile = float(np.interp(level, self.probabilities, self.statistics))
        return float(np.clip(quantile, -ndtri(alpha), -ndtri(alpha / max(1, self.comparisons))))

    def adjusted(self, p: ArrayLike) -> Float64s:
        """Return the family level at which the simultaneous interval of each pair just excludes 1/2, shape (pairs,).

            p_adjusted = P(largest statistic > z),  z = Phi^-1(1 - p/2)

        at least p and what B resamples resolve, 1/(B - 1), and at most Bonferroni's m p. It is below alpha exactly
        where the simultaneous interval at 1 - alpha excludes 1/2.

        Args:
            p: p-values of pairs, as `win_rate_p_values` returns them.

        Raises:
            ValueError: if `p` is not 1-D or leaves [0, 1].
        """
        values = _arrays.p_values(p)
        above = 1 - np.interp(-ndtri(values / 2), self.statistics, self.probabilities)
        least = np.maximum(values, 1 - self.probabilities[-2:][0])
        adjusted: Float64s = np.minimum(np.maximum(above, least), np.minimum(1, values * self.comparisons))
        return adjusted


def simultaneous_intervals(y: ArrayLike, strata: ArrayLike, critical_value: float) -> tuple[Float64s, Float64s]:
    """Intervals of the win rates of all pairs that hold together.

        alpha = 2 (1 - Phi(c)) for the critical value c, and the stratified Korn-Graubard interval at 1 - alpha

    With the critical value of `Resamples.intervals_and_critical_value` at 95 %, all of them hold their true win
    rate with a measured probability of .955 to .99 (12 to 30 equal systems), where pointwise 95 % intervals of 30
    systems never did. They hold the exact interval of the same pair.

    Args:
        y: outcomes, shape (pairs, prompts).
        strata: one integer label per prompt, shape (prompts,).
        critical_value: c, in standard deviations, above 0.

    Returns:
        (low, high), each of shape (pairs,), in [0, 1].

    Raises:
        ValueError: as `korn_graubard`, or if the critical value is not above 0.
    """
    level = float(1 - 2 * ndtr(-critical_value))
    if not 0 < level < 1:
        raise ValueError(f"a critical value must be above 0 and below 8, got {critical_value}")
    return korn_graubard(y, strata, level)


def verdicts(low: ArrayLike, high: ArrayLike) -> Verdicts:
    """Judge each pair by its interval alone: 1 (better) above 1/2, -1 (worse) below 1/2, 0 (undecided) around it.

    Args:
        low: lower ends, shape (pairs,), of intervals that hold together (`simultaneous_intervals`).
        high: upper ends, shape (pairs,).

    Raises:
        ValueError: if the shapes differ.
    """
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if lower.ndim != 1 or lower.shape != upper.shape:
        raise ValueError(f"verdicts need both ends of every pair, got the shapes {lower.shape} and {upper.shape}")
    decided: Verdicts = (lower > 0.5).astype(np.int8) - (upper < 0.5).astype(np.int8)
    return decided


def holm(p: ArrayLike) -> Float64s:
    """Adjust the p-values of a family of tests by Holm's step-down method, shape (tests,).

        p_(1) <= ... <= p_(m);  adjusted p_(i) = min(1, max over j <= i of (m - j + 1) p_(j))

    Rejecting where the adjusted value is at most alpha keeps the probability of any false rejection at alpha,
    however the tests depend on one another.

    Source: Holm 1979, Scandinavian Journal of Statistics 6.

    Raises:
        ValueError: if `p` is not 1-D or leaves [0, 1].
    """
    values = _arrays.p_values(p)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, steps)
    return adjusted


def rank_sets(decided: ArrayLike, n_systems: int) -> tuple[_arrays.Ints, _arrays.Ints]:
    """The ranks each system may have, given the verdicts of all pairs.

        lowest = 1 + number of systems decided better, highest = K - number of systems decided worse

    Whenever the intervals behind the verdicts hold, so do all rank sets at once: each holds the true head-to-head
    rank, 1 + the number of systems whose true win rate over it exceeds 1/2.

    Args:
        decided: verdicts, shape (K (K - 1) / 2,), pairs in the order of `pairwise_outcomes`.
        n_systems: K, at least 1.

    Returns:
        (lowest, highest), each of shape (K,), from 1 for the best to K.

    Raises:
        ValueError: if `decided` is not made of all pairs of K systems.

    Source: confidence sets for ranks from simultaneous pairwise comparisons, Mogstad, Romano, Shaikh and Wilhelm
        2024, Review of Economic Studies 91.
    """
    better, worse = _beaten_by(np.asarray(decided, dtype=np.float64), n_systems)
    return 1 + better, n_systems - worse


def head_to_head_ranks(rates: ArrayLike, n_systems: int) -> _arrays.Ints:
    """Rank systems by the number that beat them: 1 + the number with a win rate over them above 1/2, shape (K,).

    Several systems may share a rank, and none need have rank 1 where they beat one another in a circle. A rank lies
    in the system's rank set wherever the intervals behind that hold the win rates given here.

    Args:
        rates: win rates, shape (K (K - 1) / 2,), pairs in the order of `pairwise_outcomes`.
        n_systems: K, at least 1.

    Raises:
        ValueError: if `rates` is not made of all pairs of K systems.
    """
    margins = np.round(np.asarray(rates, dtype=np.float64) - 0.5, 12)  # sums of thirds of wins need not be 1/2 exactly
    return 1 + _beaten_by(margins, n_systems)[0]


def _beaten_by(margins: Float64s, n_systems: int) -> tuple[_arrays.Ints, _arrays.Ints]:
    """Return how many systems are ahead of each system and behind it; a margin above 0 means the first is ahead."""
    _arrays.check_pairs(margins, n_systems)
    first, second = np.triu_indices(n_systems, 1)
    ahead, behind = margins > 0, margins < 0

    def count(winners: NDArray[Any], others: NDArray[Any]) -> _arrays.Ints:
        return np.bincount(np.r_[winners[ahead], others[behind]], minlength=n_systems).astype(np.int64)

    return count(second, first), count(first, second)

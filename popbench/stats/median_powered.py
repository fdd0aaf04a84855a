"""The median of real outcomes, from predictions on all prompts and outcomes on some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Float64s
from .prediction_powered import CorrectedWinRate, HumanWinRate, corrected_win_rate

FEWEST_LABELLED = 100
"""Labelled prompts from which on predictions correct a median."""


@dataclass(frozen=True)
class RealMedian:
    """A median of real outcomes; an end is None where there are too few labels for it.

    Attributes:
        value: the median.
        low: lower end of its interval.
        high: upper end.
    """

    value: float
    low: float | None
    high: float | None


def corrected_median(
    predicted: ArrayLike, labelled: ArrayLike, outcomes: ArrayLike, strata: ArrayLike, level: float = 0.95
) -> tuple[RealMedian, RealMedian]:
    """Estimate the median outcome over prompts like these: from labels only, and corrected by predictions.

    For a threshold x, the share of prompts with an outcome of at least x (or above x) is a rate like a win rate, and
    `corrected_win_rate` gives its interval, from 1 or 0 for each label. Its prediction of a prompt is 1 where the
    predicted value is above the threshold that as many labelled prompts exceed. Then

        low   = the largest outcome x of which the share of at least x is above 1/2, by its whole interval
        high  = the smallest outcome x of which the share above x is below 1/2, by its whole interval
        value = the middle between the outcomes at which these shares themselves cross 1/2

    Only the order of predictions counts. The corrected median is that of labels where its interval would be wider, and
    with labels on fewer than 100 prompts: the threshold of predictions is then too uncertain to be taken as given.

    Args:
        predicted: of each prompt, in any unit, shape (prompts,); minus infinity for what ranks below all.
        labelled: for each label the index of its prompt, shape (labels,).
        outcomes: real outcome of each label, shape (labels,).
        strata: one integer per prompt.
        level: confidence level.

    Raises:
        ValueError: as `corrected_win_rate`; if an outcome is not finite or a prediction is NaN.
    """
    scores, values = np.asarray(predicted, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    index = np.asarray(labelled)
    if scores.ndim != 1 or np.isnan(scores).any() or not np.isfinite(values).all():
        raise ValueError("medians need one prediction for each prompt that is no NaN, and finite outcomes")
    if index.shape != values.shape or values.size == 0 or index.dtype.kind not in "iu":
        raise ValueError(f"labels need one prompt each, got the shapes {values.shape} and {index.shape}")
    if index.min() < 0 or index.max() >= len(scores):
        raise ValueError(f"labels need the index of their prompt, from 0 to {len(scores) - 1}")
    _, of, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[of]  # equal scores share the mean of their ranks
    seen = np.sort(ranks[index])[::-1]
    # Between two labelled prompts: at one of them, a smaller part of all prompts than of labelled ones would be above.
    edges = np.r_[np.inf, (seen[:-1] + seen[1:]) / 2, -np.inf]
    found: dict[tuple[float, bool], CorrectedWinRate] = {}

    def share(x: float, above: bool) -> CorrectedWinRate:
        if (x, above) not in found:
            won = values > x if above else values >= x
            guess = (1 + np.sign(ranks - edges[int(won.sum())])) / 2
            found[x, above] = corrected_win_rate(guess, index, won, strata, level=level)
        return found[x, above]

    steps = np.unique(values)
    of_labels = _median(steps, lambda x, above: share(x, above).labels)
    corrected = _median(steps, lambda x, above: share(x, above).corrected)
    wider = _length(corrected) > _length(of_labels)
    return of_labels, of_labels if wider or len(np.unique(index)) < FEWEST_LABELLED else corrected


def _length(median: RealMedian) -> float:
    return np.inf if median.low is None or median.high is None else median.high - median.low


def _median(values: Float64s, share: Callable[[float, bool], HumanWinRate]) -> RealMedian:
    """Return the median of ascending outcomes, given the share of prompts at or above a threshold."""

    def last(holds: Callable[[float], bool]) -> int:
        """Return the last place up to which it holds, -1 if nowhere; what holds at a place holds below it."""
        low, high = -1, len(values) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if holds(float(values[middle])) else (low, middle - 1)
        return low

    at_least = last(lambda x: share(x, False).value >= 0.5)
    above = last(lambda x: share(x, True).value > 0.5) + 1
    sure = last(lambda x: share(x, False).low > 0.5)
    unsure = last(lambda x: not share(x, True).high < 0.5) + 1
    middle = values[[max(at_least, 0), min(above, len(values) - 1)]].mean()
    return RealMedian(
        float(middle),
        float(values[sure]) if sure >= 0 else None,
        float(values[unsure]) if unsure < len(values) else None,
    )

"""Measures predictions as MMRA's paper does: MAE, nMSE and Spearman's rank correlation, with bootstrap intervals.

Further, how often two videos are put into the right order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.stats import PairAccuracy, pair_accuracy, pair_accuracy_by_difference, pair_accuracy_by_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 42
_AT_ONCE = 2**20
"""Random numbers that are drawn at once."""

PAIRED = 2000
"""At most so many videos are paired, drawn at random: the number of pairs is that of videos squared."""

Metric = dict[str, Any]


def errors(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    """Return MAE and nMSE (mean squared error over the target's variance) of log2 popularity.

    nMSE is NaN if all targets are equal.
    """
    difference = predicted - target
    if np.ptp(target) == 0:  # their variance may be a rounding error
        return float(np.abs(difference).mean()), float("nan")
    return float(np.abs(difference).mean()), float((difference**2).mean() / target.var())


def spearman(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank correlation over the last axis; NaN if one side is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=-1) for values in (predicted, target)]
    a, b = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation: NDArray[np.float64] = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return correlation


def measure(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, Any]:
    """Return `n` and, for `mae`, `nmse` and `src`, value, low and high: percentiles of a bootstrap over the items.

    Values that cannot be computed, such as a rank correlation of equal values, are None.
    """
    n = len(target)
    mae, nmse = errors(predicted, target)
    values = {"mae": mae, "nmse": nmse, "src": float(spearman(predicted, target))}
    rng = np.random.default_rng(_SEED)
    blocks = []
    left = RESAMPLES
    while left:  # in blocks, so that memory does not grow with the number of resamples
        rows = rng.integers(0, n, (min(left, max(1, _AT_ONCE // n)), n))
        left -= len(rows)
        blocks.append(_of_rows(predicted[rows], target[rows]))
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in values}
    return {"n": n, **{name: _interval(value, drawn[name]) for name, value in values.items()}}


def measure_part(
    part: str,
    predicted: NDArray[np.float64],
    target: NDArray[np.float64],
    flat: float,
    tags: Sequence[str],
) -> dict[str, Any]:
    """Measure a model on a part of a corpus, as a card has it, beside always predicting `flat`.

    `pairs` holds the share of pairs of videos in the right order: of all, `by_difference` of the two predictions in
    log2, and `by_category` within each tag, the most pairs first. It is left out if all targets are equal.
    """
    found = {"part": part, "model": measure(predicted, target), "mean": measure(np.full(len(target), flat), target)}
    rows = np.arange(len(target))
    if len(rows) > PAIRED:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, PAIRED, replace=False))
    guesses, values = predicted[rows], target[rows]
    whole = pair_accuracy(guesses, values)
    if whole is None:
        return found
    bins = pair_accuracy_by_difference(guesses, values)
    groups = pair_accuracy_by_group(guesses, values, [tags[row] for row in rows.tolist()])
    pairs = {
        **_pairs(whole),
        "by_difference": [{"from": one.least, "to": one.below, **_pairs(one)} for one in bins],
        "by_category": [
            {"category": name, **_pairs(one)} for name, one in sorted(groups.items(), key=lambda of: -of[1].pairs)
        ],
    }
    return {**found, "pairs": pairs}


def _pairs(of: PairAccuracy) -> dict[str, Any]:
    rounded = {name: _rounded(getattr(of, name)) for name in ("value", "low", "high")}
    return {"videos": of.items, "pairs": of.pairs, **rounded}


def _of_rows(predicted: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    squared, variance = ((predicted - target) ** 2).mean(axis=1), target.var(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mae": np.abs(predicted - target).mean(axis=1),
            "nmse": np.where(np.ptp(target, axis=1) > 0, squared / variance, np.nan),
            "src": spearman(predicted, target),
        }


def _interval(value: float, drawn: NDArray[np.float64]) -> Metric:
    finite = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(finite):
        return {"value": None, "low": None, "high": None}
    low, high = np.quantile(finite, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")

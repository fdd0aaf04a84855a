"""Measures predictions: MAE, nMSE and Spearman's rank correlation as MMRA's paper does, with bootstrap intervals.

Further, how often two videos are put into the right order, which is what boards need.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.stats import OrderAgreement, group_agreement, order_agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 42
_AT_ONCE = 2**20
"""Random numbers that are drawn at once."""

BINS = 5
"""Sizes of predicted differences that are told apart."""
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


def measure(predicted: NDArray[np.float64], target: NDArray[np.float64], *, real: bool = False) -> dict[str, Any]:
    """Return `n` and, for `mae`, `nmse` and `src`, value, low and high: percentiles of a bootstrap over the items.

    Values that cannot be computed, such as a rank correlation of equal values, are None. `real` predictions are no
    counts: they have no error, and `src` alone.
    """
    n = len(target)
    mae, nmse = errors(predicted, target)
    values = {"mae": mae, "nmse": nmse, "src": float(spearman(predicted, target))}
    if real:
        values = {"src": values["src"]}
    rng = np.random.default_rng(_SEED)
    blocks = []
    left = RESAMPLES
    while left:  # in blocks, so that memory does not grow with the number of resamples
        rows = rng.integers(0, n, (min(left, max(1, _AT_ONCE // n)), n))
        left -= len(rows)
        blocks.append(_of_rows(predicted[rows], target[rows], real=real))
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in values}
    return {"n": n, **{name: _interval(value, drawn[name]) for name, value in values.items()}}


def measure_part(
    part: str,
    predicted: NDArray[np.float64],
    target: NDArray[np.float64],
    flat: float,
    tags: Sequence[str],
    *,
    real: bool = False,
) -> dict[str, Any]:
    """Measure a predictor on a part of a corpus, as a card has it, beside always predicting `flat`.

    `predicted` and `target` are log2 of popularity; `real` predictions are scores of any sign, which are measured by
    their order alone. `pairs` holds the share of pairs of videos in the right order: of all, `by_difference` of the two
    predictions, `by_category` within each tag, the most pairs first, and `between_categories`. It is left out where
    there is no order: if all targets or all predictions are equal, or of fewer than 3 videos.
    """
    found: dict[str, Any] = {"part": part, "model": measure(predicted, target, real=real)}
    if not real:
        found["mean"] = measure(np.full(len(target), flat), target)
    whole = None if np.ptp(target) == 0 else _agreement(predicted, target, 1)
    if whole is None:
        return found
    bins = order_agreement(predicted, target, bins=BINS)
    limits = [0.0, *map(_rounded, bins.edges[1:-1].tolist()), None]
    names = np.array(list(map(str, tags)), dtype=object)
    chosen = {name: names == name for name in sorted(set(names))}
    within = {name: _agreement(predicted[of], target[of], 1) for name, of in chosen.items()}
    pairs: dict[str, Any] = {
        **({"scale": "real"} if real else {}),
        "videos": whole.groups,
        **_share(whole),
        "equal": whole.equal,
        "by_difference": [
            {"from": least, "to": below, **_share(bins, place)} for place, (least, below) in enumerate(pairwise(limits))
        ],
        "by_category": [
            {"category": name, "videos": one.groups, **_share(one)}
            for name, one in sorted(within.items(), key=lambda of: 0 if of[1] is None else -of[1].pairs[0])
            if one is not None
        ],
    }
    between = _between(predicted, target, names)
    if between is not None:
        pairs["between_categories"] = {"categories": between.groups, **_share(between)}
    return {**found, "pairs": pairs}


def _agreement(predicted: NDArray[np.float64], target: NDArray[np.float64], bins: int) -> OrderAgreement | None:
    """Return the accuracy of pairs, None where there is no order."""
    if len(target) < 3 or np.ptp(predicted) == 0:
        return None
    return order_agreement(predicted, target, bins=bins)


def _between(
    predicted: NDArray[np.float64], target: NDArray[np.float64], names: NDArray[np.object_]
) -> OrderAgreement | None:
    """Return how often the predicted order of two categories is the true one, None for too few or equal ones."""
    try:
        return group_agreement(predicted, target, np.unique(names.astype(str), return_inverse=True)[1], bins=1)
    except ValueError:
        return None


def _share(of: OrderAgreement, place: int = 0) -> dict[str, Any]:
    rounded = {name: _rounded(getattr(of, name)[place]) for name in ("value", "low", "high")}
    return {"pairs": int(of.pairs[place]), **rounded}


def _of_rows(
    predicted: NDArray[np.float64], target: NDArray[np.float64], *, real: bool
) -> dict[str, NDArray[np.float64]]:
    if real:
        return {"src": spearman(predicted, target)}
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

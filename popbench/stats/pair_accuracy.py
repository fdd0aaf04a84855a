"""How often a predictor puts two items into the right order, by the size of its difference, and within groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Float64s
from .intervals import clopper_pearson

_ROUNDED = 3
"""Significant digits of the limits between bins."""


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """The share of pairs in the right order, with its interval; `items` are those in any of the pairs.

    `least` and `below` are the limits of the predicted difference, None where there is none.
    """

    items: int
    pairs: int
    value: float
    low: float
    high: float
    least: float = 0.0
    below: float | None = None


def pair_accuracy(predicted: ArrayLike, truth: ArrayLike, level: float = 0.95) -> PairAccuracy | None:
    """Return the share of all pairs of items that `predicted` puts into the order of `truth`; None without a pair.

    Pairs with equal truth are left out; equal predictions count one half. Pairs share items, so that n items are far
    less than n (n - 1) / 2 independent pairs. The interval is that of Clopper and Pearson at the effective number:

        e_i   = sum over the pairs of item i of (right - p)
        v     = sum of e_i^2 / pairs^2
        n_eff = p (1 - p) / v, at most the number of pairs; items / 2 where p is 0 or 1

    v is the variance of a U-statistic by its projection (Hoeffding 1948, Annals of Mathematical Statistics 19), as a
    ratio. Measured coverage is at least .93, for 4 to 150 items and correlations of 0 to .95, mostly above .95.

    Args:
        predicted: predictions, shape (items,), on any scale.
        truth: what was predicted, shape (items,).
        level: confidence level.

    Raises:
        ValueError: if the shapes differ, a value is not finite, or `level` is not between 0 and 1.
    """
    pairs = _Pairs(predicted, truth)
    return pairs.accuracy(pairs.counted, level)


def pair_accuracy_by_difference(
    predicted: ArrayLike, truth: ArrayLike, bins: int = 5, level: float = 0.95
) -> list[PairAccuracy]:
    """Return the accuracy of `pair_accuracy` by the size of the predicted difference, smallest differences first.

    The bins hold about equally many pairs; there are fewer of them where many differences are equal.

    Raises:
        ValueError: as `pair_accuracy`, or if `bins` < 1.
    """
    if bins < 1:
        raise ValueError(f"accuracy by difference needs at least 1 bin, got {bins}")
    pairs = _Pairs(predicted, truth)
    sizes = pairs.differences[pairs.counted]
    if not len(sizes):
        return []
    inner = [float(f"{edge:.{_ROUNDED}g}") for edge in np.quantile(sizes, np.arange(1, bins) / bins)]
    limits: list[float] = [0.0, *(edge for edge in dict.fromkeys(inner) if edge > 0)]
    found = []
    for least, below in zip(limits, [*limits[1:], None], strict=True):
        among = pairs.counted & (pairs.differences >= least)
        if below is not None:
            among &= pairs.differences < below
        one = pairs.accuracy(among, level)
        if one is not None:
            found.append(PairAccuracy(one.items, one.pairs, one.value, one.low, one.high, least, below))
    return found


def pair_accuracy_by_group(
    predicted: ArrayLike, truth: ArrayLike, groups: Sequence[str], level: float = 0.95
) -> dict[str, PairAccuracy]:
    """Return the accuracy of `pair_accuracy` of the pairs within each group that has any, by name.

    Raises:
        ValueError: as `pair_accuracy`, or if there is not one group per item.
    """
    guesses, values = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if len(groups) != len(values):
        raise ValueError(f"accuracy by group needs one group per item, got {len(groups)} for {len(values)}")
    names = np.array([str(group) for group in groups], dtype=object)
    found = {}
    for name in sorted(set(names)):
        one = pair_accuracy(guesses[names == name], values[names == name], level)
        if one is not None:
            found[name] = one
    return found


class _Pairs:
    """All pairs of items as matrices; each pair stands in them twice."""

    def __init__(self, predicted: ArrayLike, truth: ArrayLike) -> None:
        guesses, values = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
        if guesses.ndim != 1 or guesses.shape != values.shape:
            raise ValueError(f"predictions and truth need one shape (items,), got {guesses.shape} and {values.shape}")
        if not (np.isfinite(guesses).all() and np.isfinite(values).all()):
            raise ValueError("predictions and truth must be finite")
        signed, real = np.subtract.outer(guesses, guesses), np.subtract.outer(values, values)
        self.counted: NDArray[np.bool_] = real != 0
        self.differences: Float64s = np.abs(signed)
        self._right = np.where(signed == 0, 0.5, np.sign(signed) == np.sign(real))

    def accuracy(self, among: NDArray[np.bool_], level: float) -> PairAccuracy | None:
        of_item = among.sum(axis=1)
        pairs, items = int(of_item.sum()) // 2, int((of_item > 0).sum())
        if not pairs:
            return None
        right = np.where(among, self._right, 0.0).sum(axis=1)
        value = float(right.sum() / (2 * pairs))
        variance = float(((right - value * of_item) ** 2).sum()) / pairs**2
        fewest = min(pairs, items / 2)
        n_eff = fewest if value in (0.0, 1.0) or variance == 0 else min(value * (1 - value) / variance, pairs)
        low, high = clopper_pearson(np.array([value]), np.array([max(n_eff, fewest)]), level)
        return PairAccuracy(items, pairs, value, float(low[0]), float(high[0]))

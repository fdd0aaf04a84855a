"""How far a predicted order carries: to real outcomes of held-out videos, to a run's own scores, across predictors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import ndtri, stdtrit

from . import _arrays
from ._arrays import Float64s, Ints
from .intervals import clopper_pearson, korn_graubard, proportion_interval
from .simultaneous import Verdicts, simultaneous_intervals, verdicts

_ALL_PAIRS_UP_TO = 1500
"""Videos."""
_MOST_PAIRS = 1_000_000


@dataclass(frozen=True, eq=False)
class OrderAgreement:
    """How often the predicted order of two is the true one, by size of the predicted difference.

    Probabilities do not fall as the difference grows: that is taken for granted, and steadies them.

    Attributes:
        edges: differences from `edges[k]` up to `edges[k + 1]` are in bin k, shape (bins + 1,).
        value: share of pairs in the true order, shape (bins,); true ties count half.
        low: lower ends of intervals that hold for all bins together.
        high: upper ends.
        pairs: number of pairs in each bin.
        groups: number of groups altogether.
        equal: number of pairs that are predicted equal, which are in no bin.
    """

    edges: Float64s
    value: Float64s
    low: Float64s
    high: Float64s
    pairs: Ints
    groups: int
    equal: int = 0

    def at(self, differences: ArrayLike) -> tuple[Float64s, Float64s, Float64s]:
        """Return (value, low, high) for predicted differences of any sign; larger ones than seen are in the last bin.

        An infinite difference is sure to be in the true order: it stands for a sample that is no video at all.

        Raises:
            ValueError: if a difference is NaN.
        """
        sizes = np.abs(np.asarray(differences, dtype=np.float64))
        if np.isnan(sizes).any():
            raise ValueError("differences of scores must be numbers, got NaN")
        bins = np.searchsorted(self.edges[1:-1], sizes, "right")
        sure = np.isinf(sizes)
        value, low, high = (np.where(sure, 1.0, curve[bins]) for curve in (self.value, self.low, self.high))
        return value, low, high

    def smallest_difference(self, probability: float = 0.95) -> tuple[float, float, float]:
        """Return the smallest predicted difference that is in the true order with this probability: (value, low, high).

        Infinity stands for none that was seen. Of `group_agreement`, 1/2 more is the smallest predicted win rate
        that means a true one above 1/2 with this probability.
        """
        found = []
        for curve in (self.value, self.high, self.low):
            reached = np.flatnonzero(curve >= probability)
            found.append(float(self.edges[reached[0]]) if len(reached) else float("inf"))
        return found[0], found[1], found[2]


def order_agreement(
    predicted: ArrayLike, true: ArrayLike, groups: ArrayLike | None = None, bins: int = 8, level: float = 0.95
) -> OrderAgreement:
    """Estimate P(true order = predicted order | size of the predicted difference) from real videos.

    All pairs of videos of different groups are taken (above 1,500 videos, a million pairs drawn at random), less those
    that are predicted equal, and put into bins of equally many. For a bin of m pairs that agree with a_p (1, 1/2 or
    0), with mean a, of G groups:

        v     = G/(G - 1) max(T - D, D) / m^2,  T = sum over groups of T_g^2,  D = sum over pairs of groups of D_gh^2,
                T_g the sum of a_p - a over the pairs with a video of g, D_gh over those of g and h
        t     = (G a + 1)/(G + 2)
        n_eff = t (1 - t) / (v + (t^2 + (1 - t)^2) / (G (G + 2)))  times (z / Student's t with G - 1 degrees)^2

    and the interval is Clopper-Pearson's at level 1 - (1 - level)/bins, so that those of all bins hold together. Then
    values are made monotone by least squares, lower ends are at least those of smaller differences, and upper ends at
    most those of larger ones. `bins=1` gives the pairwise accuracy over all sizes, and of the videos of one category
    that within the category. Measured coverage of that is at least .93, for 12 to 150 videos.

    Args:
        predicted: of each video, on a scale on which differences mean something (log popularity), shape (videos,).
        true: what came of it, in any unit; only its order counts.
        groups: one integer per video: videos that hang together, as those of one uploader. Without it each is its own.
        bins: number of bins, at least 1; fewer where differences are equal.
        level: confidence level.

    Raises:
        ValueError: if the shapes do not fit, a value is not finite, there are fewer than 3 groups, or all predictions
            are equal.

    Source: Aronow, Samii and Assenova 2015, Political Analysis 23 (the variance of pairs).
    """
    x, y, codes = _videos(predicted, true, groups)
    if len(x) <= _ALL_PAIRS_UP_TO:
        i, j = np.triu_indices(len(x), 1)
    else:
        i, j = np.random.Generator(np.random.PCG64(0)).integers(len(x), size=(2, _MOST_PAIRS))
    apart = codes[i] != codes[j]
    i, j = i[apart], j[apart]
    return _by_size(x[i] - x[j], y[i] - y[j], codes[i], codes[j], bins, level)


def group_agreement(
    predicted: ArrayLike, true: ArrayLike, groups: ArrayLike, fewest: int = 5, bins: int = 4, level: float = 0.95
) -> OrderAgreement:
    """Estimate P(true win rate above 1/2 | predicted win rate) where groups of real videos stand for systems.

    For two groups of at least `fewest` videos each, the win rate of one over the other is the share of pairs of their
    videos that it wins, predicted and true. A difference is the predicted win rate less 1/2, and agrees where the true
    win rate is on the same side. That shows what a predictor with a taste for some groups does, which pairs of single
    videos do not. It is about groups as small as these, whose true win rates are partly luck: of 10 videos each, it was
    .03 higher than of endless groups where the levels of groups do not correlate, as the predictor sees some of that
    luck, and .01 lower where they correlate with .8.

    Args, Returns, Raises: as `order_agreement`; groups with fewer videos are left out.
    """
    x, y, codes = _videos(predicted, true, groups)
    large = np.flatnonzero(np.bincount(codes) >= fewest)
    of_x, of_y = ([np.sort(values[codes == group]) for group in large] for values in (x, y))
    first, second = np.triu_indices(len(large), 1)
    rates = [[_wins(of[i], of[j]) - 0.5 for i, j in zip(first, second, strict=True)] for of in (of_x, of_y)]
    return _by_size(np.array(rates[0]), np.array(rates[1]), first, second, bins, level)


def win_in_truth(agreement: OrderAgreement, differences: ArrayLike) -> tuple[Float64s, Float64s, Float64s]:
    """Return with what probability a predicted win on a prompt is one in truth, of each pair: (value, low, high).

    It is the mean of `OrderAgreement.at` over the pair's own differences of scores, without those of 0 and infinite
    ones; for a predictor that is as good on these clips as on the real videos. NaN where nothing is left.

    Args:
        agreement: of `order_agreement`.
        differences: score of the first system less that of the second, on the same scale, shape (pairs, ...).

    Raises:
        ValueError: if a difference is NaN.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d.reshape(len(d), -1)
    told = (d != 0) & ~np.isinf(d)
    sums = np.where(told, agreement.at(d), 0.0).sum(axis=2)
    value, low, high = np.divide(sums, told.sum(axis=1), out=np.full(sums.shape, np.nan), where=told.any(axis=1))
    return value, low, high


def true_win_rate(
    agreement: OrderAgreement, differences: ArrayLike, strata: ArrayLike, level: float = 0.95
) -> tuple[Float64s, Float64s, Float64s]:
    """Return the true win rate that each pair's differences of scores stand for: (value, low, high).

        g_i = P(d_i) if d_i > 0, 1 - P(d_i) if d_i < 0, 1/2 if d_i = 0;  the rate is the mean of g_i

    with P from `agreement`; with repeats, g_i is the mean over them. The interval is the outermost of three of
    `korn_graubard` of g, with P as estimated and at the lower and the upper ends. It allows for the choice of prompts
    and for what is known of P, and takes for granted that the predictor is as good on these clips as on the real videos
    and has no taste for one of the systems.

    Args:
        agreement: of `order_agreement`.
        differences: score of the first system less that of the second, on the same scale, shape (pairs, prompts) or
            (pairs, prompts, repeats); infinite where one of the two is invalid.
        strata: one integer label per prompt.
        level: confidence level.

    Raises:
        ValueError: if the shapes do not fit or a difference is NaN.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim not in (2, 3):
        raise ValueError(f"differences need the axes (pairs, prompts) or (pairs, prompts, repeats), got {d.shape}")
    d = d.reshape(*d.shape[:2], -1)
    rates = (0.5 + np.sign(d) * (np.array(agreement.at(d)) - 0.5)).mean(axis=3)
    low, high = korn_graubard(rates.reshape(-1, d.shape[1]), strata, level)
    return rates[0].mean(axis=1), low.reshape(3, -1).min(axis=0), high.reshape(3, -1).max(axis=0)


def smallest_true_win(low: float, prompts: int, level: float = 0.95) -> float | None:
    """Return the smallest predicted win rate on so many prompts that means a true one above 1/2; None if none does.

        true rate - 1/2 = (2p - 1) (predicted rate - 1/2),  p as `win_in_truth` has it

    so it is the smallest rate whose Clopper-Pearson interval is above 1/2, if the lower end of p, `low`, is above 1/2.
    It takes for granted what `true_win_rate` does; where the predictor has a taste for some systems, see
    `group_agreement`.
    """
    if not low > 0.5:
        return None
    for wins in range(prompts // 2, prompts + 1):
        if proportion_interval(wins, prompts, level)[0] > 0.5:
            return wins / prompts
    return None


@dataclass(frozen=True, eq=False)
class PanelVerdicts:
    """What several predictors say of each pair together.

    Attributes:
        verdicts: of the mean outcome over the predictors: 1, -1, or 0 for undecided, shape (pairs,).
        agreeing: share of the predictors whose win rate is on the same side of 1/2 as the panel's, those at 1/2 half.
        survives: whether the verdict is the same without any one of them.
    """

    verdicts: Verdicts
    agreeing: Float64s
    survives: NDArray[np.bool_]


def panel_verdicts(y: ArrayLike, strata: ArrayLike, critical_value: float) -> PanelVerdicts:
    """Judge each pair by the mean outcome over a panel of predictors, and by that of the panel less each of them.

    Args:
        y: outcomes, shape (predictors, pairs, prompts), of at least 2 predictors.
        strata: one integer label per prompt, shape (prompts,).
        critical_value: as `simultaneous_intervals` takes it.

    Raises:
        ValueError: if there are fewer than 2 predictors, the shapes do not fit or `y` leaves [0, 1].
    """
    outcomes = np.asarray(y, dtype=np.float64)
    if outcomes.ndim != 3 or len(outcomes) < 2:
        raise ValueError(f"a panel needs (predictors, pairs, prompts), 2 predictors or more; got {outcomes.shape}")
    for of_predictor in outcomes:
        _arrays.outcomes(of_predictor)

    def judge(panel: Float64s) -> Verdicts:
        return verdicts(*simultaneous_intervals(panel.mean(axis=0), strata, critical_value))

    decided = judge(outcomes)
    sides = np.sign(np.round(outcomes.mean(axis=2) - 0.5, 12))
    of_panel = np.sign(np.round(outcomes.mean(axis=(0, 2)) - 0.5, 12))
    agreeing = (1 + sides * of_panel).mean(axis=0) / 2
    without = np.array([judge(np.delete(outcomes, one, axis=0)) for one in range(len(outcomes))])
    return PanelVerdicts(decided, agreeing, (without == decided).all(axis=0))


def _videos(predicted: ArrayLike, true: ArrayLike, groups: ArrayLike | None) -> tuple[Float64s, Float64s, Ints]:
    """Check videos; return predicted and true values, and groups from 0."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"videos need a predicted and a true value each, got the shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("predicted and true values must be finite")
    codes = _arrays.strata_codes(np.arange(len(x)) if groups is None else groups, len(x))
    return x, y, codes


def _wins(a: Float64s, b: Float64s) -> float:
    """Return the share of pairs in which a value of a is larger, ties half; both ascending."""
    below = np.searchsorted(b, a, "left").sum() + np.searchsorted(b, a, "right").sum()
    return float(below) / (2 * len(a) * len(b))


def _by_size(predicted: Float64s, true: Float64s, first: Ints, second: Ints, bins: int, level: float) -> OrderAgreement:
    """Estimate from differences of pairs, and the groups of either side."""
    if bins < 1:
        raise ValueError(f"agreement needs at least 1 bin, got {bins}")
    n_groups = len(np.unique(np.concatenate([first, second])))
    if n_groups < 3:
        raise ValueError(f"how often orders agree cannot be told from fewer than 3 groups, got {n_groups}")
    told = predicted != 0
    if not told.any():
        raise ValueError("all predictions are equal: there is no order")
    sizes, agree = np.abs(predicted[told]), (1 + np.sign(predicted[told]) * np.sign(true[told])) / 2
    first, second = first[told], second[told]
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, bins + 1), method="higher"))  # of sizes: no bin is empty
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    of = np.searchsorted(edges[1:-1], sizes, "right")
    tail = _arrays.tail(1 - (1 - level) / (len(edges) - 1))
    found = [_accuracy(agree[of == k], first[of == k], second[of == k], tail) for k in range(len(edges) - 1)]
    value, low, high = np.array(found).T
    pairs = np.bincount(of, minlength=len(value)).astype(np.int64)
    return OrderAgreement(
        edges,
        isotonic_regression(value, weights=pairs).x,
        np.maximum.accumulate(low),
        np.minimum.accumulate(high[::-1])[::-1],
        pairs,
        n_groups,
        int(np.count_nonzero(~told)),
    )


def _accuracy(agree: Float64s, first: Ints, second: Ints, tail: float) -> tuple[float, float, float]:
    """Return the share of pairs that agree, and its interval."""
    groups, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    n, m = len(groups), len(agree)
    i, j = codes[:m], codes[m:]
    mean = float(agree.mean())
    left = agree - mean
    by_group = np.bincount(i, left, minlength=n) + np.bincount(j, left, minlength=n)
    by_dyad = np.bincount(np.unique(np.minimum(i, j) * n + np.maximum(i, j), return_inverse=True)[1], left)
    apart = float(by_dyad @ by_dyad)
    v = max(apart, float(by_group @ by_group) - apart) / m**2 * n / (n - 1)
    t = (n * mean + 1) / (n + 2)
    n_eff = t * (1 - t) / (v + (t**2 + (1 - t) ** 2) / (n * (n + 2)))
    n_eff *= float(ndtri(tail) / stdtrit(n - 1, tail)) ** 2
    low, high = clopper_pearson(np.array([mean]), np.array([n_eff]), 1 - 2 * tail)
    return mean, float(low[0]), float(high[0])

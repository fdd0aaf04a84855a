"""Exact intervals: a binomial proportion, a stratified win rate, a stratified median."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from . import _arrays
from ._arrays import Float64s, Floats, Ints, Scale

_PSEUDO_PROMPTS = 3
"""How many prompts like those of all strata together are added to each: with 2, two strata of 15 held with .89."""


def proportion_interval(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a simple rate, k successes in n independent trials.

        low = BetaInv(alpha/2; k, n - k + 1), 0 if k = 0
        high = BetaInv(1 - alpha/2; k + 1, n - k), 1 if k = n

    Source: Clopper and Pearson 1934, Biometrika 26.

    Raises:
        ValueError: if n < 1, k is not from 0 to n, or `level` is not between 0 and 1.
    """
    if n < 1:
        raise ValueError(f"a proportion needs at least 1 trial, got {n}")
    if not 0 <= k <= n:
        raise ValueError(f"successes must be from 0 to {n}, got {k}")
    low, high = clopper_pearson(np.array([k / n]), np.array([float(n)]), level)
    return float(low[0]), float(high[0])


def korn_graubard(y: ArrayLike, strata: ArrayLike, level: float = 0.95) -> tuple[Float64s, Float64s]:
    """Stratified Korn-Graubard interval of each win rate: Clopper-Pearson at the effective sample size.

    With N prompts in S strata of n_c, Y_c the sum of y in stratum c, Y = sum of Y_c, theta = Y/N, and some rows
    more in every stratum: one pseudo-win and one pseudo-loss of weight k = 1/S, so that no variance is 0, and m = 3
    pseudo-prompts that are as all strata together, so that a stratum is not taken for more certain than it is:

        t     = (Y + 1) / (N + 2),  q = (sum of y_i^2 + 1) / (N + 2)
        p_c   = (Y_c + k + m t) / (n_c + 2k + m)
        s2_c  = (sum of y_i^2 in c + k + m q) / (n_c + 2k + m) - p_c^2
        h_c   = 1 - n_c (N - n_c) / ((N - 1) (n_c + 2k + m)^2)
        v     = sum over c of (n_c/N)^2 s2_c / (n_c h_c)
        n_eff = t (1 - t) / v, at least N/2 and at most 40 N
        x     = theta n_eff
        low   = BetaInv(alpha/2; x, n_eff - x + 1), 0 if x = 0
        high  = BetaInv(1 - alpha/2; x + 1, n_eff - x), 1 if x = n_eff

    h_c makes v unbiased where strata agree. With one stratum v = (q - t^2)/N; there, without ties, n_eff = N and this
    is the Clopper-Pearson interval. Ties, and strata that differ, make n_eff larger and the interval narrower. Ten
    wins in ten prompts of a stratum need not mean that it has no others: without the pseudo-prompts, the simultaneous
    intervals of 30 systems whose categories pull in opposite directions held together with .72 (5 strata of 10
    prompts), with them .98, and where strata agree they are as wide as without. Swapping the two systems mirrors the
    interval about 1/2.

    Args:
        y: outcomes, shape (pairs, prompts); with repeats, their mean on each prompt.
        strata: one integer label per prompt, shape (prompts,).
        level: confidence level, 1 - alpha.

    Returns:
        (low, high), each of shape (pairs,), in [0, 1].

    Raises:
        ValueError: if the shapes do not fit, `y` leaves [0, 1], or `level` is not between 0 and 1.

    Source: Korn and Graubard 1998, Survey Methodology 24, with the variance above in place of their t quantiles, which
    estimate degrees of freedom from the same few prompts; pairing by prompt as in Miller 2024, arXiv 2411.00640.
    """
    theta, n_eff = _effective_sample_sizes(y, strata)
    return clopper_pearson(theta, n_eff, level)


def win_rate_p_values(y: ArrayLike, strata: ArrayLike) -> Float64s:
    """Two-sided p-value of each pair for a win rate of 1/2, by inverting `korn_graubard`: shape (pairs,).

        p = min(1, 2 P(X >= x)),  P(X >= x) = BetaInc(1/2; x, n_eff - x + 1),  x = max(theta, 1 - theta) n_eff

    That is 1 less the highest level at which the interval of the pair excludes 1/2: p is below alpha where the interval
    at 1 - alpha does, and only there. It tests the win rate itself, with repeats too, and counts ties. With one
    stratum and without ties it is the p-value of the exact sign test.

    Raises:
        ValueError: as `korn_graubard`.
    """
    theta, n_eff = _effective_sample_sizes(y, strata)
    x = np.maximum(theta, 1 - theta) * n_eff
    p: Float64s = np.minimum(1, 2 * betainc(x, n_eff - x + 1, 0.5))
    return p


def median_interval(
    values: ArrayLike, strata: ArrayLike, level: float = 0.95, scale: Scale = "positive"
) -> tuple[float, float, float]:
    """Median popularity with Woodruff's interval, by inverting tests so that it holds with ties.

        low  = the smallest observed v with 1/2 at most the upper end of the Korn-Graubard interval of P(X <= v)
        high = the largest observed v with 1/2 at least the lower end of that of P(X < v)

    P is estimated by the share of values. The interval needs no density, holds with heavy tails, and an increasing
    transform of the values transforms it alike. It also holds where many values are equal: with 40 to 48 % of samples
    invalid its coverage is .95 and more, that of a single interval of F at the sample's median .63 to .86 (20 prompts).

    Args:
        values: popularity of one system, shape (prompts,), in any unit, >= 0; 0 for an invalid
            sample. With repeats, each prompt's mean.
        strata: one integer label per prompt, shape (prompts,).
        level: confidence level.
        scale: with "real", values may have any sign, and minus infinity stands for an invalid sample.

    Returns:
        (median, low, high) in the unit of the values; low <= median <= high, and both ends are
        observed values.

    Raises:
        ValueError: if a value is NaN, infinite or negative, the shapes do not fit, or `level` is
            not between 0 and 1.

    Source: Woodruff 1952, Journal of the American Statistical Association 47; Francisco and Fuller 1991, Annals of
        Statistics 19.
    """
    x = _arrays.popularity(values, ("prompts",), scale)
    median, low, high = median_intervals(x[np.newaxis], strata, level, scale)
    return float(median[0]), float(low[0]), float(high[0])


def median_intervals(
    values: ArrayLike, strata: ArrayLike, level: float = 0.95, scale: Scale = "positive"
) -> tuple[Float64s, Float64s, Float64s]:
    """Return what `median_interval` returns, for many systems: values (systems, prompts) give arrays (systems,).

    Raises:
        ValueError: as `median_interval`.
    """
    x = _arrays.popularity(values, ("systems", "prompts"), scale)
    n = x.shape[1]
    codes, alpha = _arrays.strata_codes(strata, n), _arrays.tail(level)
    # The effective sample size is at least n/2, so no value further from the median than this can be an end.
    first = max(0, int(_outermost(n, level) * n) - 2)
    candidates = np.sort(x, axis=1)[:, first : n - first]
    sizes = np.bincount(codes)
    above = np.empty((*candidates.shape, len(sizes)))
    below = np.empty_like(above)
    for stratum, size in enumerate(sizes.tolist()):
        of = np.sort(x[:, codes == stratum], axis=1)
        for system, values_of in enumerate(candidates):
            above[system, :, stratum] = size - np.searchsorted(of[system], values_of, "right")
            below[system, :, stratum] = np.searchsorted(of[system], values_of, "left")
    upper_is_above, lower_is_below = (_lower_is_below_half(counts, sizes, alpha) for counts in (above, below))
    low = np.where(upper_is_above, candidates, np.inf).min(axis=1)
    high = np.where(lower_is_below, candidates, -np.inf).max(axis=1)
    return np.median(x, axis=1), low, high


def _lower_is_below_half(counts: Float64s, sizes: Ints, alpha: float) -> NDArray[np.bool_]:
    """Say whether the lower end of the Korn-Graubard interval of counts is at most 1/2; strata are the last axis."""
    total = counts.reshape(-1, len(sizes))
    theta, n_eff = total.sum(axis=1) / sizes.sum(), _n_eff(total, total, sizes)
    x = theta * n_eff
    # The end is below 1/2 if the probability there is above alpha: ten times as fast to compute as the end.
    below: NDArray[np.bool_] = (x == 0) | (betainc(np.where(x > 0, x, 1), n_eff - x + 1, 0.5) >= alpha)
    return below.reshape(counts.shape[:-1])


def too_few_for_a_median(n: int, level: float = 0.95) -> bool:
    """Say whether no interval of a median of n values reaches the level, not even from the smallest to the largest."""
    return bool(0.5 ** (n - 1) > 1 - level)


@cache
def _outermost(n: int, level: float) -> float:
    """Return the lower bound of one half at the smallest effective sample size of n values."""
    return float(clopper_pearson(np.array([0.5]), np.array([n / 2]), level)[0][0])


def _effective_sample_sizes(y: ArrayLike, strata: ArrayLike) -> tuple[Float64s, Float64s]:
    """Return theta and n_eff of each row of `y`."""
    y = _arrays.outcomes(y)
    codes = _arrays.strata_codes(strata, y.shape[1])
    member, sizes = _membership(codes, np.float64), np.bincount(codes)
    theta, n_eff = np.empty(len(y)), np.empty(len(y))
    for rows in _arrays.row_blocks(len(y), y.shape[1]):
        part = y[rows].astype(np.float64)
        theta[rows], n_eff[rows] = part.mean(axis=1), _n_eff(part @ member, part**2 @ member, sizes)
    return theta, n_eff


def _membership(codes: Ints, dtype: type[np.floating[Any]]) -> Floats:
    """Return an indicator matrix, 1 if a prompt is of a stratum, shape (prompts, strata)."""
    member: Floats = (codes[:, np.newaxis] == np.arange(codes.max() + 1)).astype(dtype)
    return member


def _n_eff(total: Float64s, squares: Float64s, sizes: Ints) -> Float64s:
    """Return n_eff from the sums of outcomes and of their squares by stratum, shape (rows, strata)."""
    n = sizes.sum()
    t = (total.sum(axis=1, keepdims=True) + 1) / (n + 2)
    v = variance_of_strata(total, squares, sizes, sizes / n)
    n_eff: Float64s = np.clip((t * (1 - t))[:, 0] / v, n / 2, 40 * n)
    return n_eff


def variance_of_strata(total: Float64s, squares: Float64s, sizes: Ints, weights: Float64s) -> Float64s:
    """Return v of `korn_graubard`, shape (rows,), with strata weighted by `weights` in place of n_c/N.

    Args:
        total: sums of outcomes by stratum, shape (rows, strata).
        squares: sums of their squares.
        sizes: n_c, shape (strata,).
        weights: shape (strata,), with the sum 1.
    """
    n, k = sizes.sum(), 1 / len(sizes)
    more = sizes + 2 * k + _PSEUDO_PROMPTS
    t, q = ((sums.sum(axis=1, keepdims=True) + 1) / (n + 2) for sums in (total, squares))
    p = (total + k + _PSEUDO_PROMPTS * t) / more
    s2 = (squares + k + _PSEUDO_PROMPTS * q) / more - p**2
    unbiased = 1 - sizes * (n - sizes) / (max(n - 1, 1) * more**2)
    v: Float64s = (weights**2 * s2 / (sizes * unbiased)).sum(axis=1)
    return v


def clopper_pearson(rate: Floats, n: Floats, level: float) -> tuple[Float64s, Float64s]:
    """Return the Clopper-Pearson bounds of `rate` in `n` trials, which need not be whole numbers."""
    alpha = _arrays.tail(level)
    return _lower(rate, n, alpha), 1 - _lower(1 - rate, n, alpha)


def _lower(rate: Floats, n: Floats, alpha: float) -> Float64s:
    x = np.where(rate > 0, rate, 0.5) * n  # 0.5: any rate, its result is not used
    bound: Float64s = np.where(rate > 0, betaincinv(x, n - x + 1, alpha), 0.0)
    return bound

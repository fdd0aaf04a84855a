"""Attributes the variance of scores to two parts of an item, or to a change of it.

An item has two parts (here a title and a video) and a score s = f(A, B). Items come in groups (here prompts): within
one they are related, between two of them they are not. Everything is estimated on pairs of items of different groups,
as `pair_across` draws them, and on what the two score after swapping a part:

    i = (A_i, B_i) scores s_i,  j = (A_j, B_j) scores s_j,  (A_j, B_i) scores x,  (A_i, B_j) scores y

Swapping A between the two and swapping B are the same two new items, so one pass of scores tells of both parts. With
E the mean over pairs:

    V        = E (s_i - s_j)^2 / 2                               the variance of the scores
    a        = [E ((s_i - x)^2 + (s_j - y)^2) / 4 - m^2 / 2] / V     the share of A
    b        = [E ((s_i - y)^2 + (s_j - x)^2) / 4 - m^2 / 2] / V     the share of B
    shared   = E ((s_i - s_j)^2 - (x - y)^2) / 4 / V                 2 Cov(A's part, B's part) / V
    together = [E (s_i + s_j - x - y)^2 / 4 - m^2] / V               what only the combination does
    m        = E (s_i + s_j - x - y) / 2                             what a swap costs on average

a and b are Jansen's estimator E (Delta - mean Delta)^2 / (2 V) of the total-effect index, Delta being what one item
loses by a swap. 1 - a - b = shared - together holds exactly; the remainder can be negative.

The denominator is the variance of the scores as they are, not that under independent pairing of the parts: shares are
to say what the differences between real items consist of. For an additive law f = g(A) + h(B), a = Var g / Var s and
b = Var h / Var s, whether the parts are correlated or not, since what is swapped in comes from an unrelated item. With
Cov(g, h) = 0 that is what independent pairing gives; with Cov(g, h) > 0 the two shares add up to less than 1 and
`shared` is the rest, with Cov(g, h) < 0 to more than 1. Over the variance of independent pairing they would add up to 1
all the same, and hide it. Numerator and denominator are means over the same pairs, so that a score that A alone decides
has a = 1 without noise.

Sources: Jansen 1999, Computer Physics Communications 117; Saltelli et al. 2010, Computer Physics Communications 181
(table 2, f); Owen 2007, Annals of Applied Statistics 1, for the intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _arrays
from ._arrays import Float64s, Ints
from .bootstrap import percentile_interval

FEWEST_GROUPS = 5
"""With fewer groups there are no intervals: too few resamples differ."""


@dataclass(frozen=True, eq=False)
class GroupResamples:
    """How often each group was drawn in each bootstrap resample; row 0 is the data as they are, every group once.

    Statistics below are computed row by row, so element 0 is the estimate and the others its replicates: `interval`
    makes both of it. A pair counts as often as its two groups were drawn together, the product of their counts (Owen's
    pigeonhole bootstrap): an item moves every pair it is in, which resampling only one side would miss.

    Attributes:
        counts: float64, shape (1 + resamples, groups).
    """

    counts: Float64s

    @classmethod
    def draw(cls, n_groups: int, n_resamples: int = 2000, seed: int = 0) -> GroupResamples:
        """Draw groups with replacement, as many as there are; the same arguments give the same resamples.

        Raises:
            ValueError: if there is no group, B < 1 or the seed is negative.
        """
        if n_groups < 1 or n_resamples < 1:
            raise ValueError(f"resamples need groups and a number, got {n_groups} groups and {n_resamples} resamples")
        rng = np.random.Generator(np.random.PCG64(seed))
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
        return cls(np.vstack([np.ones(n_groups), drawn]).astype(np.float64))

    def interval(self, statistic: Float64s, level: float = 0.95) -> tuple[float, float, float] | None:
        """Return (estimate, low, high), the ends NaN with fewer than 5 groups; None if there is no estimate.

        Replicates that are not finite, of resamples that hold nothing to estimate from, are left out.
        """
        if not np.isfinite(statistic[0]):
            return None
        replicates = statistic[1:][np.isfinite(statistic[1:])]
        if self.counts.shape[1] < FEWEST_GROUPS or not len(replicates):
            return float(statistic[0]), float("nan"), float("nan")
        low, high = percentile_interval(replicates, level)
        return float(statistic[0]), float(low), float(high)

    def group_means(self, values: ArrayLike, groups: Ints) -> Float64s:
        """Return means of items weighted by their groups' counts: values (items, k) give (1 + resamples, k).

        They are computed from the sums of the groups; NaN where no item is drawn.
        """
        x = np.asarray(values, dtype=np.float64)
        sums = np.zeros((self.counts.shape[1], x.shape[1] + 1))
        np.add.at(sums, groups, np.column_stack([x, np.ones(len(x))]))
        return _ratio(self.counts @ sums)

    def pair_means(self, values: ArrayLike, first: Ints, second: Ints) -> Float64s:
        """Return means of pairs weighted by the product of their groups' counts: (pairs, k) give (1 + resamples, k)."""
        x = np.asarray(values, dtype=np.float64)
        columns = np.column_stack([x, np.ones(len(x))])
        sums = np.empty((len(self.counts), columns.shape[1]))
        for rows in _arrays.row_blocks(len(self.counts), max(1, len(x))):
            counts = self.counts[rows]
            sums[rows] = (counts[:, first] * counts[:, second]) @ columns
        return _ratio(sums)


def _ratio(sums: Float64s) -> Float64s:
    """Divide sums by their last column, the weight."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Float64s = sums[:, :-1] / sums[:, -1:]
    return means


def pair_across(groups: ArrayLike, rounds: int, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """Pair items at random with items of other groups, `rounds` times over; (first, second, round) of every pair.

    In a round every item is in one pair. Where that cannot be, because the items are odd in number or one group has
    more than half of them, what is left over is paired with any item of another group.

    Raises:
        ValueError: if there are fewer than 2 groups, or no round.
    """
    codes = _arrays.strata_codes(groups)
    if rounds < 1 or not codes.max():
        raise ValueError(f"pairs need 2 groups and a round, got {int(codes.max()) + 1} groups and {rounds} rounds")
    rng = np.random.Generator(np.random.PCG64(seed))
    pairs = [(i, j, number) for number in range(rounds) for i, j in _round(codes, rng)]
    first, second, numbers = np.asarray(pairs, dtype=np.int64).T
    return first, second, numbers


def _round(codes: Ints, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Rotate a random order of the groups by half its length, so that no item meets its own group if possible."""
    names = rng.permutation(int(codes.max()) + 1)
    order = np.concatenate([rng.permutation(np.flatnonzero(codes == name)) for name in names])
    # A random partner within each half: at a fixed distance, the same groups would meet again and again.
    half = len(order) // 2
    left, right = order[:half], rng.permutation(order[half : 2 * half])
    lonely = list(order[2 * half :])
    for i, j in zip(left, right, strict=True):
        if codes[i] == codes[j]:
            lonely += [i, j]
        else:
            yield int(i), int(j)
    for i in lonely:
        yield int(i), int(rng.choice(np.flatnonzero(codes != codes[i])))


def variance(s_i: Float64s, s_j: Float64s, mean: Callable[[Float64s], Float64s]) -> Float64s:
    """Return V of the module's formulas, from the scores of both sides of every pair."""
    variance: Float64s = mean(((s_i - s_j) ** 2 / 2)[:, np.newaxis])[:, 0]
    return variance


def swap_shares(
    s_i: Float64s, s_j: Float64s, x: Float64s, y: Float64s, mean: Callable[[Float64s], Float64s]
) -> dict[str, Float64s]:
    """Return `a`, `b`, `remainder`, `shared` and `together`, each of shape (1 + resamples,); NaN where V is 0.

    Args:
        s_i, s_j, x, y: log scores of every pair before and after the swap, as the module says; shape (pairs,).
        mean: of values (pairs, k), shape (1 + resamples, k): `GroupResamples.pair_means` with the pairs' groups.
    """
    lost = s_i + s_j - x - y
    means = mean(
        np.column_stack(
            [
                (s_i - s_j) ** 2 / 2,
                ((s_i - x) ** 2 + (s_j - y) ** 2) / 4,
                ((s_i - y) ** 2 + (s_j - x) ** 2) / 4,
                ((s_i - s_j) ** 2 - (x - y) ** 2) / 4,
                lost**2 / 4,
                lost / 2,
            ]
        )
    ).T
    v, a, b, shared, together, m = means
    v = _positive(v)
    shares = {
        "a": (a - m**2 / 2) / v,
        "b": (b - m**2 / 2) / v,
        "shared": shared / v,
        "together": (together - m**2) / v,
    }
    return {**shares, "remainder": 1 - shares["a"] - shares["b"]}


def swap_share(
    s_i: Float64s, s_j: Float64s, x: Float64s, y: Float64s, mean: Callable[[Float64s], Float64s]
) -> Float64s:
    """Return the share of one part of any number, the module's `a`: x and y are the scores after swapping that part."""
    lost = s_i + s_j - x - y
    v, a, m = mean(np.column_stack([(s_i - s_j) ** 2 / 2, ((s_i - x) ** 2 + (s_j - y) ** 2) / 4, lost / 2])).T
    share: Float64s = (a - m**2 / 2) / _positive(v)
    return share


def change_share(
    s_i: Float64s, s_j: Float64s, d_i: Float64s, d_j: Float64s, mean: Callable[[Float64s], Float64s]
) -> Float64s:
    """Return Var(d) / Var(s) for what a change costs, d = score before - score after; NaN where Var(s) is 0.

        E (d_i - d_j)^2 / E (s_i - s_j)^2

    It is 1 for a part put to a constant that alone decides the score, and 0 for a change that shifts all scores alike.
    """
    v, changed = mean(np.column_stack([(s_i - s_j) ** 2, (d_i - d_j) ** 2])).T
    share: Float64s = changed / _positive(v)
    return share


def r_squared(x: ArrayLike, s: ArrayLike, groups: Ints, resamples: GroupResamples) -> Float64s | None:
    """Return the squared correlation of a covariate with a score, shape (1 + resamples,); None where one is constant.

    An interval of it leans upwards near 0, since no replicate can be below.
    """
    u: Float64s = np.asarray(x, dtype=np.float64)
    v: Float64s = np.asarray(s, dtype=np.float64)
    if not len(u) or np.ptp(u) == 0 or np.ptp(v) == 0:
        return None
    u, v = u - u.mean(), v - v.mean()
    mu, mv, uu, vv, uv = resamples.group_means(np.column_stack([u, v, u * u, v * v, u * v]), groups).T
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float64s = (uv - mu * mv) ** 2 / ((uu - mu**2) * (vv - mv**2))
    return found


def medians(values: ArrayLike, groups: Ints, resamples: GroupResamples) -> Float64s:
    """Return the median of items weighted by their groups' counts, shape (1 + resamples,); NaN where none is drawn.

    It is the mean of the two middle values where the weights below and above are equal, as usual.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return np.full(len(resamples.counts), np.nan)
    order = np.argsort(x, kind="stable")
    x, groups = x[order], groups[order]
    result = np.empty(len(resamples.counts))
    for rows in _arrays.row_blocks(len(result), len(x)):
        running = np.cumsum(resamples.counts[rows][:, groups], axis=1)
        half = running[:, -1:] / 2
        low, high = (running < half).sum(axis=1), (running <= half).sum(axis=1)
        middle = (x[np.minimum(low, len(x) - 1)] + x[np.minimum(high, len(x) - 1)]) / 2
        result[rows] = np.where(half[:, 0] > 0, middle, np.nan)
    return result


def _positive(v: Float64s) -> Float64s:
    """Return a variance with NaN for 0."""
    return np.where(v > 0, v, np.nan)

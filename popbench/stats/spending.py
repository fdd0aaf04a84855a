"""Boundaries of group-sequential tests: how far from its null a statistic must be at each look to be decided there.

A statistic is looked at again and again while data come in. It is decided at the first look at which it is further from
its null than that look's critical value. A spending function says how much of the error probability may have been used
up by when; the critical values follow from it and from the joint distribution of the statistic over looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import ndtr, ndtri

from ._arrays import Float64s

Spending: TypeAlias = Literal["obrien-fleming", "linear", "pocock"]
UNREACHABLE = 37.0
"""The critical value where nothing is to be spent: beyond it a normal probability is 0 in float64."""
_NODES = 96
_FURTHEST = 9.0
"""Standard deviations of a statistic beyond which its density is left out."""


def spent(times: Float64s, alpha: float, spending: Spending, comparisons: int = 1) -> Float64s:
    """Return the error probability that may be used up by each time, from 0 at time 0 to alpha at time 1.

        obrien-fleming  m (4 - 4 Phi(z_(1 - a/4) / sqrt(t))), a = alpha / m, for m comparisons:
                        nearly nothing early, nearly a fixed test at the end
        linear          alpha t
        pocock          alpha ln(1 + (e - 1) t): more early than late, so that critical values are nearly constant

    Source: Lan and DeMets 1983, Biometrika 70; linear: Kim and DeMets 1987, Biometrika 74.

    Raises:
        ValueError: if the spending function is none of these, or a time is not from 0 to 1.
    """
    t = np.asarray(times, dtype=np.float64)
    if t.size and not (t.min() >= 0 and t.max() <= 1):
        raise ValueError("times of looks must be from 0 to 1")
    if spending == "obrien-fleming":
        z = -ndtri(alpha / comparisons / 4)
        late: Float64s = comparisons * 4 * ndtr(-z / np.sqrt(np.maximum(t, 1e-12)))
        return late
    if spending == "linear":
        even: Float64s = np.multiply(t, alpha)
        return even
    if spending == "pocock":
        early: Float64s = alpha * np.log1p((math.e - 1) * t)
        return early
    raise ValueError(f"a spending function is obrien-fleming, linear or pocock, not {spending!r}")


def boundaries(sizes: Sequence[int], increments: Sequence[float]) -> Float64s:
    """Return the critical value of each look, so that a normal statistic is first beyond it with a given probability.

        P(|Z_j| <= c_j for all j < k, |Z_k| > c_k) = increments[k],   Z_k = S_(n_k) / sqrt(n_k)

    S is a sum of n independent, equally distributed terms of mean 0 and variance 1. Computed by recursive numerical
    integration of the density of S, without simulation.

    Args:
        sizes: n_k, the data at each look, increasing.
        increments: the probability to spend at each look.

    Returns:
        c, shape (looks,); `UNREACHABLE` where an increment is 0.

    Source: Armitage, McPherson and Rowe 1969, Journal of the Royal Statistical Society A 132.

    Raises:
        ValueError: if the sizes do not increase, or a probability is negative.
    """
    spend = np.asarray(increments, dtype=np.float64)
    found: Float64s = np.array(_boundaries(tuple(int(n) for n in sizes), spend[np.newaxis].tobytes(), 1)[0])
    return found


class Table:
    """Critical values of each look for any number of comparisons that share the error probability of a family.

    Args:
        sizes: n_k, the data at each look, increasing.
        increments: what the whole family spends at each look.
        most: the largest number of comparisons.
    """

    def __init__(self, sizes: Sequence[int], increments: Sequence[float], most: float) -> None:
        points = 1 if most <= 1 else 3 + 3 * math.ceil(math.log10(most))
        self._numbers = np.linspace(0, math.log(max(most, 1)), points)
        levels = np.exp(-self._numbers)[:, np.newaxis] * np.asarray(increments, dtype=np.float64)
        self._values = np.array(_boundaries(tuple(int(n) for n in sizes), levels.tobytes(), points))

    def at(self, look: int, comparisons: float) -> float:
        """Return the critical value of a look, 0 for the first, where each of so many comparisons has an equal share.

        c squared is nearly a straight line in the logarithm of the number: the error of interpolation is below .001.
        """
        squares = self._values[:, look] ** 2
        return math.sqrt(float(np.interp(math.log(max(comparisons, 1)), self._numbers, squares)))


@lru_cache(maxsize=64)
def _boundaries(sizes: tuple[int, ...], increments: bytes, rows: int) -> tuple[tuple[float, ...], ...]:
    """Compute `boundaries` for several rows of increments at once."""
    spend = np.frombuffer(increments).reshape(rows, -1)
    if not sizes or spend.shape[1] != len(sizes):
        raise ValueError(f"boundaries need one probability for each look, got {spend.shape[1]} for {len(sizes)}")
    if sizes[0] < 1 or any(later <= n for n, later in pairwise(sizes)):
        raise ValueError("the data at each look must be more than at the look before")
    if not (spend.min() >= 0 and spend.sum(axis=1).max() <= 1):
        raise ValueError("what is spent at a look must be a probability")
    times = np.array(sizes) / sizes[0]  # not the last, so that later looks change nothing about earlier ones
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    found = np.empty((rows, len(sizes)))
    # The density of |S| at a look among the paths not decided before it, as masses at the nodes of an integration.
    places, masses, before = np.zeros((rows, 1)), np.ones((rows, 1)), 0.0
    for look, time in enumerate(times.tolist()):
        step, sd = math.sqrt(time - before), math.sqrt(time)
        found[:, look] = _critical_values(places, masses, step, sd, spend[:, look])
        edge = np.minimum(found[:, look], _FURTHEST) * sd
        next_places = (nodes + 1) / 2 * edge[:, np.newaxis]
        density = np.exp(-(((next_places[:, :, np.newaxis] - places[:, np.newaxis]) / step) ** 2) / 2)
        density += np.exp(-(((next_places[:, :, np.newaxis] + places[:, np.newaxis]) / step) ** 2) / 2)
        density = np.einsum("rij,rj->ri", density, masses) / (step * math.sqrt(2 * math.pi))
        places, masses, before = next_places, density * weights / 2 * edge[:, np.newaxis], time
    return tuple(tuple(row) for row in found.tolist())


def _critical_values(places: Float64s, masses: Float64s, step: float, sd: float, spend: Float64s) -> Float64s:
    """Find each row's critical value by bisection."""
    low, high = np.zeros(len(spend)), np.full(len(spend), UNREACHABLE)
    for _ in range(60):
        middle = (low + high) / 2
        edge = (middle * sd)[:, np.newaxis]
        beyond = ((ndtr((places - edge) / step) + ndtr((-places - edge) / step)) * masses).sum(axis=1)
        more = beyond > spend
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(spend > 0, high, UNREACHABLE)

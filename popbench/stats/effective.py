"""How many independent comparisons do pairs that share systems and prompts amount to?"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from . import _arrays
from ._arrays import Floats, Ints

_DRAWS = 1024
_SEED = 20_261_130


def residual_directions(y: Floats, codes: Ints) -> Floats:
    """Return the deviations of outcomes from their stratum's mean, each row of length 1, or 0 where nothing varies.

    The product of two rows is the correlation of the two win rates.

    Args:
        y: outcomes, shape (pairs, prompts).
        codes: strata, 0 to S - 1, shape (prompts,).
    """
    member = (codes[:, np.newaxis] == np.arange(codes.max() + 1)).astype(np.float64)
    deviations = y - (y @ member / member.sum(axis=0)) @ member.T
    lengths = np.sqrt(np.einsum("pi,pi->p", deviations, deviations))
    lengths[lengths < 1e-9] = np.inf
    directions: Floats = (deviations / lengths[:, np.newaxis]).astype(np.float32)
    return directions


class EffectiveComparisons:
    """The number M of independent comparisons that exceed a critical value as often as these correlated ones.

        P(some |Z_p| > c) = M(c) P(|Z| > c)

    M is between 1 and the number of pairs, and nearer to that the larger c is. It is estimated by drawing Z where some
    pair, chosen evenly, exceeds c: M(c) = pairs times the mean of 1 / (number of pairs that exceed c). 1,024 such
    draws determine M to about 1 %, also where c is exceeded once in a billion draws.

    Source: Adler, Blanchet and Liu 2012, Annals of Applied Probability 22 (the sampling); pairs without variance count
        as independent of all others.
    """

    def __init__(self, directions: Floats) -> None:
        varying = directions[np.einsum("pi,pi->p", directions, directions) > 0.5]
        self._directions, self._varying, self._fixed = varying, len(varying), len(directions) - len(varying)
        rng = np.random.Generator(np.random.PCG64(_SEED))
        self._uniform = rng.random(_DRAWS)
        self._chosen = ((np.arange(_DRAWS) + rng.random(_DRAWS)) * (len(varying) / _DRAWS)).astype(np.int64)
        self._normals = _normals(-(-directions.shape[1] // 1024) * 1024)[: directions.shape[1]]

    def beyond(self, critical_value: float) -> float:
        """Return M(c) for c above 0."""
        if self._varying <= 1:
            return float(max(self._fixed + self._varying, 1))
        # Normal deviates beyond c, by the inverse of their distribution.
        tail = -ndtri(self._uniform * ndtr(-critical_value))
        inverse = 0.0
        for part in _arrays.row_blocks(_DRAWS, self._varying):
            chosen = self._directions[self._chosen[part]]
            z = self._directions @ self._normals[:, part]
            here = np.take_along_axis(z, self._chosen[np.newaxis, part], axis=0)[0]
            z += (self._directions @ chosen.T) * (tail[part] - here).astype(np.float32)
            exceeding = np.count_nonzero(np.abs(z) > critical_value, axis=0)
            inverse += float((1 / np.maximum(exceeding, 1)).sum())
        return self._fixed + max(self._varying * inverse / _DRAWS, 1.0)

    def solve(self, critical_value: Callable[[float], float]) -> float:
        """Return the critical value that belongs to the effective number of comparisons beyond it.

        The number is that beyond the critical value of all pairs, which is a little larger: on the safe side.

        Args:
            critical_value: of a number of comparisons.
        """
        return critical_value(self.beyond(critical_value(self._fixed + self._varying)))


@lru_cache(maxsize=1)
def _normals(n: int) -> Floats:
    """Return the standard normal deviates of n prompts; those of more prompts begin with these."""
    return np.random.Generator(np.random.PCG64(_SEED + 1)).standard_normal((n, _DRAWS), np.float32)

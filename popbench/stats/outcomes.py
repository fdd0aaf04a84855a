"""From popularity to outcomes: which system of a pair wins each prompt, and how often."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _arrays
from ._arrays import Float64s, Floats, Ints, Scale


def pairwise_outcomes(values: ArrayLike, scale: Scale = "positive") -> Floats:
    """Compare every two systems on every prompt.

    For the pair (a, b), a < b, on prompt i

        y_i = mean over repeats r of  [x_air > x_bir] + [x_air = x_bir] / 2,

    so repeat r of one system meets repeat r of the other, which was drawn with the same seed.

    Args:
        values: popularity x, shape (systems, prompts, repeats), in any unit, >= 0; 0 stands for an
            invalid sample, which loses to every valid one and ties with another invalid one.
        scale: with "real", values may have any sign, and minus infinity stands for an invalid sample.

    Returns:
        y, shape (pairs, prompts): the unordered pairs in the order of `np.triu_indices`, none for
        one system. It is float32 where sums over prompts are exact in that type (1, 2 or 4 repeats
        of up to 2 million prompts), and float64 otherwise.

    Raises:
        ValueError: if a value is NaN, infinite or negative, or an axis is missing or empty.
    """
    x = _arrays.popularity(values, ("systems", "prompts", "repeats"), scale)
    n_systems, n_prompts, n_repeats = x.shape
    power_of_two = n_repeats & (n_repeats - 1) == 0
    exact = power_of_two and 2 * n_repeats * n_prompts < 2**24
    y = np.empty((n_systems * (n_systems - 1) // 2, n_prompts), np.float32 if exact else np.float64)
    first = 0
    for a in range(n_systems - 1):
        others = x[a + 1 :]
        half_wins = (x[a] > others).sum(axis=-1) + (x[a] >= others).sum(axis=-1)
        y[first : first + len(others)] = half_wins / (2 * n_repeats)
        first += len(others)
    return y


def mean_outcomes(y: ArrayLike, n_systems: int) -> Float64s:
    """Average each system's outcomes over its opponents, prompt by prompt.

        m_ai = 1 / (K - 1) * sum over b != a of y_abi,  where y_bai = 1 - y_abi

    The mean over prompts of m_a is the mean win rate of system a against the others. A row of m is
    an outcome in [0, 1] like a row of y, so `win_rates` and `Resamples.intervals` take it the same
    way.

    Args:
        y: outcomes of all pairs, shape (K (K - 1) / 2, prompts), as `pairwise_outcomes` returns them.
        n_systems: K, at least 2; the mean win rate of a lone system is not defined.

    Returns:
        m, float64, shape (K, prompts).

    Raises:
        ValueError: if there are fewer than 2 systems, or `y` is not made of all their pairs.
    """
    y = _arrays.outcomes(y)
    if n_systems < 2:
        raise ValueError(f"a mean win rate needs at least 2 systems, got {n_systems}")
    _arrays.check_pairs(y, n_systems)
    total = np.zeros((n_systems, y.shape[1]))
    first = 0
    for a in range(n_systems - 1):
        against_later = y[first : first + n_systems - 1 - a]
        total[a] += against_later.sum(axis=0, dtype=np.float64)
        total[a + 1 :] += 1 - against_later
        first += len(against_later)
    mean: Float64s = total / (n_systems - 1)
    return mean


def win_rates(y: ArrayLike) -> Float64s:
    """Return the win rate of each pair, ties counting half: the mean of each row of `y`, shape (pairs,).

    Without repeats it is (W + T/2) / N for W wins and T ties on N prompts.

    Raises:
        ValueError: if `y` is not (pairs, prompts), has no prompts, or leaves [0, 1].
    """
    rates: Float64s = _arrays.outcomes(y).mean(axis=1, dtype=np.float64)
    return rates


def outcome_counts(y: ArrayLike) -> tuple[Ints, Ints, Ints]:
    """Count the prompts won, tied and lost: y above, at and below 1/2; three arrays of shape (pairs,).

    Raises:
        ValueError: if `y` is not (pairs, prompts), has no prompts, or leaves [0, 1].
    """
    y = _arrays.outcomes(y)
    wins = np.count_nonzero(y > 0.5, axis=1)
    losses = np.count_nonzero(y < 0.5, axis=1)
    return wins, y.shape[1] - wins - losses, losses

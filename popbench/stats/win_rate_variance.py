"""What makes a win rate vary: another choice of prompts, or other seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _arrays
from ._arrays import Float64s, Scale


@dataclass(frozen=True)
class WinRateVariance:
    """Of each pair, in the order of `pairwise_outcomes`; the variance of its win rate is (prompts + seeds / R) / N.

    Attributes:
        by_repeat: the win rate of each repeat alone, shape (pairs, repeats).
        prompts: variance between prompts, within strata, of the outcome expected over seeds, shape (pairs,); 0 where
            the estimate is below. None of it goes away with more repeats.
        seeds: variance of the outcome of one repeat on one prompt, over seeds, shape (pairs,).
    """

    by_repeat: Float64s
    prompts: Float64s
    seeds: Float64s


def win_rate_variance(values: ArrayLike, strata: ArrayLike, scale: Scale = "positive") -> WinRateVariance:
    """Divide the variance of every pair's win rate into that of prompts and that of seeds.

    With h_ir the outcome of repeat r on prompt i, y_i its mean over R repeats, and N prompts in S strata:

        seeds   = mean over i of [sum over r of (h_ir - y_i)^2 / (R - 1)]
        prompts = sum over i of (y_i - mean of its stratum)^2 / (N - S) - seeds / R

    A draft and a render seed are drawn together, once a repeat, so both are in `seeds`.

    Args:
        values: popularity, shape (systems, prompts, repeats), as `pairwise_outcomes` takes it.
        strata: one integer label per prompt, shape (prompts,); one stratum is taken if one has a single prompt.
        scale: as there.

    Raises:
        ValueError: if there are fewer than 2 prompts or repeats, or as `pairwise_outcomes`.
    """
    x = _arrays.popularity(values, ("systems", "prompts", "repeats"), scale)
    n_systems, n_prompts, n_repeats = x.shape
    if n_prompts < 2 or n_repeats < 2:
        raise ValueError(f"seeds are told apart from 2 prompts and 2 repeats, got {n_prompts} and {n_repeats}")
    codes = _arrays.strata_codes(strata, n_prompts)
    sizes = np.bincount(codes)
    if sizes.min() < 2:
        codes, sizes = np.zeros_like(codes), np.array([n_prompts])
    member = (codes[:, np.newaxis] == np.arange(len(sizes))).astype(np.float64)
    n_pairs = n_systems * (n_systems - 1) // 2
    by_repeat, seeds, between = np.empty((n_pairs, n_repeats)), np.empty(n_pairs), np.empty(n_pairs)
    of_repeats, of_prompts = np.ones(n_repeats, np.float32), np.ones(n_prompts, np.float32)
    first = 0
    for a in range(n_systems - 1):
        others = x[a + 1 :]
        rows = slice(first, first + len(others))
        half_wins = np.add(x[a] > others, x[a] >= others, dtype=np.float32)  # 2, 1 or 0: sums are exact
        y = (half_wins @ of_repeats).astype(np.float64) / (2 * n_repeats)
        by_repeat[rows] = (of_prompts @ half_wins).astype(np.float64) / (2 * n_prompts)
        within = (half_wins**2 @ of_repeats).astype(np.float64) / (4 * n_repeats) - y**2
        seeds[rows] = within.mean(axis=1) * n_repeats / (n_repeats - 1)
        left = y - (y @ member / sizes) @ member.T
        between[rows] = (left**2).sum(axis=1) / (n_prompts - len(sizes))
        first += len(others)
    return WinRateVariance(by_repeat, np.maximum(0.0, between - seeds / n_repeats), np.maximum(0.0, seeds))

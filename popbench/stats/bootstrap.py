"""The paired, stratified bootstrap: one set of resampled prompts, shared by all that is compared on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrays
from ._arrays import Float64s, Floats
from .strata import pool_strata


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each prompt was drawn in each resample.

    A resample takes from every stratum c of n_c prompts n_c draws, with replacement, out of its
    prompts (weight 1 each) plus one pseudo-win and one pseudo-loss (weight k = 1/S each, S strata).
    A pseudo-win is won by whichever system's rate is asked for. The two keep an interval open where
    the data alone would close it: a plain percentile bootstrap of 20 wins in 20 gives [1, 1].

    Attributes:
        draws: float32, shape (prompts, resamples): how often a prompt was drawn.
        pseudo_wins: float32, shape (resamples,): how many pseudo-wins were drawn, over all strata.
            The rest of the N draws are pseudo-losses and count nothing.
    """

    draws: NDArray[np.float32]
    pseudo_wins: NDArray[np.float32]

    @classmethod
    def draw(cls, strata: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> Resamples:
        """Draw the resamples; the same arguments give the same ones.

        Args:
            strata: one integer label per prompt, shape (prompts,); small strata are pooled by
                `pool_strata`.
            n_resamples: B.
            seed: of `np.random.PCG64`.

        Raises:
            ValueError: if `strata` is empty, not 1-D or not of integers, B < 1 or the seed is negative.
        """
        codes = pool_strata(strata)
        if n_resamples < 1:
            raise ValueError(f"the bootstrap needs at least 1 resample, got {n_resamples}")
        rng = np.random.Generator(np.random.PCG64(seed))
        n_strata = int(codes.max()) + 1
        draws = np.empty((len(codes), n_resamples), np.float32)
        pseudo_wins = np.zeros(n_resamples, np.float32)
        for stratum in range(n_strata):
            prompts = np.flatnonzero(codes == stratum)
            weights = np.ones(len(prompts) + 2)
            weights[-2:] = 1 / n_strata
            counts = rng.multinomial(len(prompts), weights / weights.sum(), size=n_resamples)
            draws[prompts] = counts[:, :-2].T
            pseudo_wins += counts[:, -2]
        return cls(draws, pseudo_wins)

    def wins(self, y: ArrayLike) -> Iterator[tuple[slice, Floats]]:
        """Yield the resampled number of wins, block by block of the rows of `y`.

            w_pb = sum over prompts i of y_pi draws_ib + pseudo_wins_b

        w is from 0 to N, and w / N is the win rate of pair p in resample b. This is one matrix
        product in the type of `y`: float32 is twice as fast, and exact where `pairwise_outcomes`
        returns it. Statistics of a pair, and those that run over the pairs of each resample, can
        share one pass.

        Args:
            y: outcomes, shape (pairs, prompts): of pairs, or of systems as `mean_outcomes` returns
                them.

        Yields:
            (rows, w): a slice of the rows of `y`, and w for them, shape (rows, resamples), a new
                array each time. A block has 4 million numbers, or one row if that is more.

        Raises:
            ValueError: if `y` is not (pairs, prompts) with these prompts, or leaves [0, 1].
        """
        y = _arrays.outcomes(y)
        n_prompts, n_resamples = self.draws.shape
        if y.shape[1] != n_prompts:
            raise ValueError(f"the resamples are of {n_prompts} prompts, the outcomes of {y.shape[1]}")
        draws = self.draws.astype(y.dtype, copy=False)
        for rows in _arrays.row_blocks(len(y), n_resamples):
            w = y[rows] @ draws
            w += self.pseudo_wins
            yield rows, w

    def intervals(self, y: ArrayLike, level: float = 0.95) -> tuple[Float64s, Float64s]:
        """Return (low, high), each of shape (pairs,): percentiles of the resampled win rates, not recentred.

        Raises:
            ValueError: as `wins`, or if `level` is not between 0 and 1.
        """
        y = _arrays.outcomes(y)
        n_prompts = len(self.draws)
        low, high = np.empty(len(y)), np.empty(len(y))
        for rows, w in self.wins(y):
            low[rows], high[rows] = percentile_interval(w, level)
        return np.clip(low / n_prompts, 0, 1), np.clip(high / n_prompts, 0, 1)


def percentile_interval(replicates: Floats, level: float = 0.95) -> tuple[Float64s, Float64s]:
    """Return the (1 - level)/2 and (1 + level)/2 quantiles over the last axis, interpolated linearly.

    Raises:
        ValueError: if `level` is not between 0 and 1.
    """
    alpha = _arrays.tail(level)
    low, high = np.quantile(replicates, (alpha, 1 - alpha), axis=-1)
    return low, high


def bootstrap_win_rates(
    y: ArrayLike, strata: ArrayLike, n_resamples: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[Float64s, Float64s]:
    """Bootstrap interval of each pair's win rate, in one call: `Resamples.draw(...).intervals(y)`.

    Its measured coverage is .946 to .970 on average for a nominal .95, and .93 at the least, for win
    rates of .5 to .995, up to 60 % ties and strata of 20 prompts.

    Args:
        y: outcomes, shape (pairs, prompts).
        strata: one integer label per prompt, shape (prompts,).
        n_resamples: B.
        seed: of `np.random.PCG64`.
        level: confidence level.

    Returns:
        (low, high), each of shape (pairs,), in [0, 1].

    Raises:
        ValueError: if the shapes do not fit, `y` leaves [0, 1], B < 1 or `level` is not between 0
            and 1.
    """
    y = _arrays.outcomes(y)
    _arrays.strata_codes(strata, y.shape[1])
    return Resamples.draw(strata, n_resamples, seed).intervals(y, level)

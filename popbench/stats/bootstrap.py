"""The paired, stratified bootstrap: one set of resampled prompts, on which all systems are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrays
from ._arrays import Float64s, Floats, Ints
from .simultaneous import MaxT
from .strata import pool_strata

_BLOCK = 2**22
"""Numbers in a block of replicates: enough for the matrix product to run at full speed."""
_CACHED = 2**18
"""Numbers in a part of a block: few enough to stay in the processor's cache while statistics are computed."""
_COPIED = 2**27
"""Up to so many numbers, the draws are drawn at once, stored as floats, and converted to another type at once."""
_TIED = 1e-9


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each prompt was drawn in each resample.

    A resample takes from every stratum c of n_c prompts n_c draws, with replacement, out of its
    prompts (weight 1 each) plus one pseudo-win and one pseudo-loss (weight k = 1/S each, S strata).
    A pseudo-win is won by whichever system of a pair leads. The two keep an interval open where
    the data alone would close it: a plain percentile bootstrap of 20 wins in 20 gives [1, 1].

    The draws depend neither on the names of strata nor on the order of systems: swapping the systems
    of a pair mirrors its replicates.

    Attributes:
        draws: float32, shape (prompts, resamples): how often a prompt was drawn; uint8 where that is more than
            half a gigabyte.
        pseudo_wins: float32, shape (resamples,): how many pseudo-wins were drawn, over all strata.
        pseudo_losses: float32, shape (resamples,): how many pseudo-losses.
    """

    draws: NDArray[np.float32] | NDArray[np.uint8]
    pseudo_wins: NDArray[np.float32]
    pseudo_losses: NDArray[np.float32]

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
        large = len(codes) * n_resamples > _COPIED
        draws = np.empty((len(codes), n_resamples), np.uint8 if large else np.float32)
        pseudo = np.zeros((2, n_resamples), np.float32)
        for stratum in range(n_strata):
            prompts = np.flatnonzero(codes == stratum)
            for part in _arrays.row_blocks(n_resamples, len(prompts), _BLOCK if large else _COPIED):
                counts = _multinomial(rng, len(prompts), 1 / n_strata, len(pseudo[0, part]))
                draws[prompts, part] = counts[:-2]  # fits uint8: to draw a prompt 256 times is practically impossible
                pseudo[:, part] += counts[-2:]
        return cls(draws, *pseudo)

    def wins(self, y: ArrayLike) -> Iterator[tuple[slice, Floats]]:
        """Yield the resampled number of wins, block by block of the rows of `y`.

            w_pb = sum over prompts i of y_pi draws_ib + pseudo_wins_b

        with pseudo_losses_b in its place where the first system of the pair does not lead. w is
        from 0 to N, and w / N is the win rate of pair p in resample b. This is one matrix product
        in the type of `y`: float32 is twice as fast, and exact where `pairwise_outcomes` returns
        it. Statistics of a pair, and those that run over the pairs of each resample, can share one
        pass.

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
        draws = self._as(y.dtype)
        pseudo = np.stack([self.pseudo_losses, self.pseudo_wins])
        for rows in _arrays.row_blocks(len(y), n_resamples, _BLOCK):
            w = _product(y[rows], draws)
            leads = _leads(y[rows]).astype(np.intp)
            for part in _arrays.row_blocks(len(w), n_resamples, _CACHED):
                w[part] += pseudo[leads[part]]
            yield rows, w

    def totals(self, y: Floats, n_resamples: int | None = None) -> Floats:
        """Return the resampled sums of outcomes without pseudo-rows, y @ draws, of the first resamples or of all.

        Args:
            y: shape (rows, prompts).

        Returns:
            Shape (rows, resamples), of the type of `y`.
        """
        return _product(y, self._as(y.dtype, n_resamples))

    def _as(self, dtype: Any, n_resamples: int | None = None) -> NDArray[Any]:
        """Return the draws as another type, but for large ones: those are converted part by part."""
        draws = self.draws[:, :n_resamples]
        return draws if draws.size > _COPIED else draws.astype(dtype, copy=False)

    def intervals(self, y: ArrayLike, level: float = 0.95) -> tuple[Float64s, Float64s]:
        """Return (low, high), each of shape (pairs,): percentiles of the resampled win rates, not recentred.

        Raises:
            ValueError: as `wins`, or if `level` is not between 0 and 1.
        """
        low, high, _ = self._summarise(y, level, compare=False)
        return low, high

    def intervals_and_critical_value(self, y: ArrayLike, level: float = 0.95) -> tuple[Float64s, Float64s, float]:
        """Return what `intervals` returns and the critical value for all pairs at once, in one pass.

        `simultaneous_intervals` makes intervals of it that hold for all pairs at once.

        Returns:
            (low, high, c); c as of one comparison where there are no pairs.

        Raises:
            ValueError: as `intervals`.
        """
        low, high, furthest = self.intervals_and_furthest(y, level)
        return low, high, MaxT.of(furthest, len(low)).critical_value(level)

    def intervals_and_furthest(self, y: ArrayLike, level: float = 0.95) -> tuple[Float64s, Float64s, Float64s]:
        """Return what `intervals` returns and the largest statistic of each resample, in one pass.

        In each resample b, with Z_pb the resampled win rate of pair p,

            t_b = the largest over pairs p of |Z_pb - mean(Z_p)| / sd(Z_p)

        `MaxT` makes critical values and adjusted p-values of it.

        Returns:
            (low, high, t), t of shape (resamples,), 0 where there are no pairs.

        Raises:
            ValueError: as `intervals`.
        """
        return self._summarise(y, level, compare=True)

    def _summarise(
        self, y: ArrayLike, level: float, *, compare: bool
    ) -> tuple[Float64s, Float64s, NDArray[np.float64]]:
        _arrays.tail(level)
        y = _arrays.outcomes(y)
        n_prompts, n_resamples = self.draws.shape
        low, high = np.empty(len(y)), np.empty(len(y))
        furthest, each = np.zeros(n_resamples, y.dtype), np.ones(n_resamples)
        parts = (
            (slice(rows.start + part.start, rows.start + part.stop), block[part])
            for rows, block in self.wins(y)
            for part in _arrays.row_blocks(len(block), n_resamples, _CACHED)
        )
        for rows, w in parts:
            w -= n_prompts / 2  # about 1/2, so that a pair and its mirror image give the same to the last bit
            low[rows], high[rows] = percentile_interval(w, level)
            if compare:
                # float64, in which sums of halves and their squares are exact: the same on every machine
                exact = w.astype(np.float64)
                mean = exact @ each / n_resamples
                spread = np.sqrt(np.maximum(np.einsum("pb,pb->p", exact, exact) / n_resamples - mean**2, 0))
                scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > _TIED)
                w -= mean.astype(w.dtype)[:, np.newaxis]
                w *= scale.astype(w.dtype)[:, np.newaxis]
                np.maximum(furthest, np.abs(w, out=w).max(axis=0), out=furthest)
        return (
            np.clip(low / n_prompts + 0.5, 0, 1),
            np.clip(high / n_prompts + 0.5, 0, 1),
            furthest.astype(np.float64),
        )


def _multinomial(rng: np.random.Generator, n: int, k: float, n_resamples: int) -> Ints:
    """Count n draws out of n prompts of weight 1 and two pseudo-rows of weight k, shape (n + 2, resamples).

    As `rng.multinomial` would, three times as fast.
    """
    u = rng.random(n * n_resamples)
    u *= n + 2 * k
    drawn = u.astype(np.int64)
    pseudo = np.flatnonzero(u >= n)
    drawn[pseudo] = n + (u[pseudo] >= n + k)
    drawn *= n_resamples
    drawn.reshape(n, n_resamples)[:] += np.arange(n_resamples)
    return np.bincount(drawn, minlength=(n + 2) * n_resamples).reshape(n + 2, n_resamples)


def _product(y: Floats, draws: NDArray[Any]) -> Floats:
    """Return y @ draws in the type of y; draws of another type, which are large then, are converted part by part."""
    n_prompts, n_resamples = draws.shape
    found: Floats = np.zeros((len(y), n_resamples), y.dtype)
    if draws.dtype == y.dtype:
        return np.matmul(y, draws, out=found)
    for part in _arrays.row_blocks(n_prompts, n_resamples, _BLOCK):
        found += y[:, part] @ draws[part].astype(y.dtype)
    return found


def _leads(y: Floats) -> NDArray[np.bool_]:
    """Say of each pair whether its first system is ahead; of level ones, whether it wins the first prompt not tied."""
    ahead = y - 0.5
    ahead[np.abs(ahead) < _TIED] = 0
    total = ahead.sum(axis=1, dtype=np.float64)
    first = np.take_along_axis(ahead, (ahead != 0).argmax(axis=1, keepdims=True), axis=1)[:, 0]
    leads: NDArray[np.bool_] = np.where(np.abs(total) < _TIED * y.shape[1], first, total) > 0
    return leads


def percentile_interval(replicates: Floats, level: float = 0.95) -> tuple[Float64s, Float64s]:
    """Return the (1 - level)/2 and (1 + level)/2 quantiles over the last axis, interpolated linearly.

    Raises:
        ValueError: if `level` is not between 0 and 1.
    """
    alpha = _arrays.tail(level)
    ordered = np.sort(replicates, axis=-1)  # numpy sorts with SIMD: five times as fast as its partition or quantile
    last = replicates.shape[-1] - 1
    found = []
    for place in (alpha * last, (1 - alpha) * last):
        at = int(place)
        below, above = (ordered[..., min(rank, last)].astype(np.float64) for rank in (at, at + 1))
        found.append(below + (above - below) * (place - at))
    return found[0], found[1]


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

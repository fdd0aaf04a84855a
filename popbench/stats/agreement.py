"""Agreement of two orders: the pairs that a change reorders, and Kendall's tau between two rankings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _arrays
from ._arrays import Float64s, Floats, Ints
from .bootstrap import Resamples

TIE = 1e-5
"""The largest difference of two log2 scores that is a tie: for equal inputs, float32 arithmetic differs by less."""


def reordered_pairs(before: ArrayLike, after: ArrayLike, cells: Ints, tie: float = TIE) -> tuple[Ints, Ints]:
    """Count the pairs of items of one cell whose order differs after a change of both.

    The order of a pair is the sign of its difference, 0 for a tie; a tie that is broken, or made, is another order.

    Args:
        before: log scores, shape (items,).
        after: log scores after the change; an item with NaN in either is left out.
        cells: of each item, 0 to C - 1; only items of one cell are compared.
        tie: the greatest difference that is none.

    Returns:
        (reordered, pairs), each of shape (cells,).
    """
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    n_cells = int(cells.max()) + 1 if len(cells) else 0
    reordered, pairs = np.zeros(n_cells, np.int64), np.zeros(n_cells, np.int64)
    kept = np.flatnonzero(np.isfinite(old) & np.isfinite(new))
    kept = kept[np.argsort(cells[kept], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(cells[kept]) != 0]) if len(kept) else np.zeros(0, np.int64)
    for items in np.split(kept, starts[1:]) if len(kept) else []:
        cell, size = cells[items[0]], len(items)
        # Each pair is in the matrix twice; the diagonal is 0.
        reordered[cell] = np.count_nonzero(_order(old[items], tie) != _order(new[items], tie)) // 2
        pairs[cell] = size * (size - 1) // 2
    return reordered, pairs


def _order(x: Float64s, tie: float) -> Floats:
    difference = x[:, np.newaxis] - x
    return np.where(np.abs(difference) > tie, np.sign(difference), 0.0)


def kendall_tau_b(x: ArrayLike, y: ArrayLike) -> Float64s:
    """Return Kendall's tau-b between the rows of two arrays, shape (rows, items) to (rows,).

        tau_b = sum over pairs of sign(x_a - x_b) sign(y_a - y_b) / sqrt(pairs not tied in x * pairs not tied in y)

    NaN where all of a row is tied. Equal values have to be equal exactly.

    Source: Kendall 1945, Biometrika 33.

    Raises:
        ValueError: if the shapes differ or there are fewer than 2 items.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape or x.shape[1] < 2:
        raise ValueError(f"tau needs two arrays (rows, items) of at least 2 items, got {x.shape} and {y.shape}")
    n = x.shape[1]
    agree, untied_x, untied_y = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for a in range(n - 1):
        sign_x = np.sign(x[:, a, np.newaxis] - x[:, a + 1 :])
        sign_y = np.sign(y[:, a, np.newaxis] - y[:, a + 1 :])
        agree += np.einsum("ri,ri->r", sign_x, sign_y)
        untied_x += np.count_nonzero(sign_x, axis=1)
        untied_y += np.count_nonzero(sign_y, axis=1)
    with np.errstate(invalid="ignore"):
        tau: Float64s = agree / np.sqrt(untied_x * untied_y)
    return tau


def rank_agreement(
    first: ArrayLike, second: ArrayLike, resamples: Resamples, level: float = 0.95, comparisons: int = 5 * 10**7
) -> tuple[float, float, float] | None:
    """Kendall's tau-b between two rankings of the same systems by mean win rate, with a bootstrap interval.

    The interval misses where systems are nearly equal, since tau jumps there: coverage .00 to .52 where the true orders
    are the same or reversed. Boards count the pairs that both rankings decide instead, and have no such interval.

    Both rankings are taken on the same resampled prompts. Means are compared as whole numbers of half wins, so that
    ties are exact.

    Args:
        first: half wins h of each system on each prompt, whole numbers, shape (systems, prompts): 2 R (K - 1) times
            what `mean_outcomes` returns, with R repeats and K systems.
        second: the same under the other ranking.
        resamples: of these prompts; pseudo-wins, which all systems get alike, change no order.
        level: confidence level.
        comparisons: pairs of systems that are compared at most, over all resamples: of many systems fewer resamples
            are used (all 10,000 up to 100 systems; at least 500).

    Returns:
        (tau, low, high), the interval NaN where no resample has one; None where one ranking is all ties.

    Raises:
        ValueError: if the shapes do not fit.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape or x.shape[1] != len(resamples.draws):
        raise ValueError(
            f"agreement needs two arrays (systems, {len(resamples.draws)} prompts), got {x.shape} and {y.shape}"
        )
    (tau,) = kendall_tau_b(x.sum(axis=1)[np.newaxis], y.sum(axis=1)[np.newaxis])
    if not np.isfinite(tau):
        return None
    n_pairs = len(x) * (len(x) - 1) // 2
    n_resamples = max(500, comparisons // n_pairs)
    ours, theirs = resamples.totals(x, n_resamples), resamples.totals(y, n_resamples)
    replicates = np.empty(ours.shape[1])
    for rows in _arrays.row_blocks(len(replicates), len(x)):
        replicates[rows] = kendall_tau_b(ours[:, rows].T, theirs[:, rows].T)
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates):
        return float(tau), float("nan"), float("nan")
    alpha = _arrays.tail(level)
    low, high = np.quantile(replicates, (alpha, 1 - alpha))
    return float(tau), float(low), float(high)

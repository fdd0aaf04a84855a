"""Checks of arguments: each returns its argument ready for use, or raises ValueError."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scale: TypeAlias = Literal["positive", "real"]
"""What popularity may be: numbers of at least 0, or any; `popbench.records` has it for the rest of popbench."""
Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]
Ints = NDArray[np.int64]


def popularity(values: ArrayLike, axes: tuple[str, ...], scale: Scale = "positive") -> Float64s:
    """Return `values` as float64 if it has these axes, is not empty, and is finite and >= 0 throughout.

    On a real scale, values are finite or minus infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(axes):
        raise ValueError(f"popularity needs the axes ({', '.join(axes)}), got the shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"popularity is empty: its shape ({', '.join(axes)}) is {array.shape}")
    real = scale == "real"
    bad = ~(array < np.inf) if real else ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = ", ".join(f"{axis[:-1]} {i}" for axis, i in zip(axes, index, strict=True))
        expected = "finite, or minus infinity for an invalid sample" if real else "finite and >= 0"
        raise ValueError(f"popularity must be {expected}, got {array[index]} at {where}")
    return array


def outcomes(y: ArrayLike) -> Floats:
    """Return `y`, float32 if it is that already, else float64, if it is (pairs, prompts) and in [0, 1]."""
    array = np.asarray(y)
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if array.ndim != 2:
        raise ValueError(f"outcomes need the axes (pairs, prompts), got the shape {array.shape}")
    if array.shape[1] == 0:
        raise ValueError("outcomes are empty: there are no prompts")
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # NaN fails both
        raise ValueError("outcomes must lie in [0, 1]: 1 for a win, 0.5 for a tie, 0 for a loss")
    return array


def strata_codes(strata: ArrayLike, n_prompts: int | None = None) -> Ints:
    """Return integer labels, one per prompt, recoded as 0 to S - 1 in the order in which they first appear.

    Draws by stratum then do not depend on the names of strata.
    """
    array = np.asarray(strata)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"strata need one integer per prompt, got the shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"strata need one integer per prompt, got the type {array.dtype}")
    if n_prompts is not None and array.size != n_prompts:
        raise ValueError(f"strata need one integer per prompt: {n_prompts} prompts, {array.size} strata labels")
    _, first, codes = np.unique(array, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes].astype(np.int64)


def tail(level: float) -> float:
    """Return the probability on either side of an interval with this level, 0.025 for 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    return (1 - level) / 2


def p_values(p: ArrayLike) -> Float64s:
    """Return p-values as float64 if they are 1-D and in [0, 1]."""
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p-values need the axis (tests), got the shape {values.shape}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # NaN fails both
        raise ValueError("p-values must lie in [0, 1]")
    return values


def check_pairs(rows: NDArray[Any], n_systems: int) -> None:
    """Raise ValueError unless `rows` has one row for each unordered pair of the systems."""
    n_pairs = n_systems * (n_systems - 1) // 2
    if rows.ndim < 1 or n_systems < 1 or len(rows) != n_pairs:
        raise ValueError(
            f"{n_systems} systems make {n_pairs} pairs, got {len(rows) if rows.ndim else 0} rows of outcomes"
        )


def row_blocks(n_rows: int, row_size: int, block_size: int = 2**22) -> Iterator[slice]:
    """Cut rows of `row_size` numbers into slices of at most `block_size` numbers (16 MiB of float32)."""
    step = max(1, block_size // row_size)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))

"""Strata: groups of prompts that are resampled separately."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrays
from ._arrays import Ints


def pool_strata(strata: ArrayLike, minimum: int = 5) -> Ints:
    """Pool the strata of fewer than `minimum` prompts into one: bootstrap intervals within tiny strata are too narrow.

    If the pooled stratum is itself too small, it is joined with the smallest of the others (of
    equal ones, that which comes first). So every stratum of the result has at least `minimum`
    prompts, unless there are fewer prompts than that altogether; then they are one stratum.

    Args:
        strata: one integer label per prompt, shape (prompts,).
        minimum: prompts that a stratum needs to stand alone.

    Returns:
        The new labels, 0 to S - 1, shape (prompts,).

    Raises:
        ValueError: if `strata` is empty, not 1-D or not of integers.
    """
    codes = _arrays.strata_codes(strata)
    sizes = np.bincount(codes)
    return _arrays.strata_codes(np.where(too_small(sizes, minimum)[codes], len(sizes), codes))


def too_small(sizes: Ints, minimum: int) -> NDArray[np.bool_]:
    """Say which strata of these sizes `pool_strata` makes one of."""
    pooled: NDArray[np.bool_] = sizes < minimum
    if pooled.any() and not pooled.all() and sizes[pooled].sum() < minimum:
        large = np.flatnonzero(~pooled)
        pooled[large[np.argmin(sizes[large])]] = True
    return pooled

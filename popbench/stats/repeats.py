"""The median of samples that were drawn several times a prompt."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _arrays
from ._arrays import Float64s, Scale
from .intervals import korn_graubard, median_intervals


def sample_medians(
    values: ArrayLike, strata: ArrayLike, level: float = 0.95, scale: Scale = "positive"
) -> tuple[Float64s, Float64s, Float64s]:
    """Median of all samples of each system, over prompts and repeats, with Woodruff's interval.

    It is the median of what one draw for one prompt gives, however many repeats there are: a median of prompts' means
    would grow with their number where scores have heavy tails. Its interval is that of `median_intervals`, with the
    share of a prompt's repeats in place of an indicator:

        y_i(v) = share of repeats r with x_ir <= v (for `low`), or with x_ir < v (for `high`)

    so that the samples of one prompt, which are alike, do not count as independent. With one repeat it is
    `median_intervals`.

    Args:
        values: popularity, shape (systems, prompts, repeats), in any unit, >= 0; 0 for an invalid sample.
        strata: one integer label per prompt, shape (prompts,).
        level: confidence level.
        scale: with "real", values may have any sign, and minus infinity stands for an invalid sample.

    Returns:
        (median, low, high), each of shape (systems,), in the unit of the values; low <= median <= high, and both ends
        are observed values.

    Raises:
        ValueError: if a value is NaN, infinite or negative, the shapes do not fit, or `level` is not between 0 and 1.

    Source: Woodruff 1952, Journal of the American Statistical Association 47.
    """
    x = _arrays.popularity(values, ("systems", "prompts", "repeats"), scale)
    if x.shape[2] == 1:
        return median_intervals(x[:, :, 0], strata, level, scale)
    samples = np.sort(x.reshape(len(x), -1), axis=1)
    of_system = np.arange(len(x))
    last = samples.shape[1] - 1

    def can_be(places: NDArray[np.int64], *, low: bool) -> NDArray[np.bool_]:
        """Say of one of its samples whether a system's median can be as low, or as high."""
        ends = samples[of_system, places][:, np.newaxis, np.newaxis]
        y = (x <= ends if low else x < ends).mean(axis=2)
        lower, upper = korn_graubard(y, strata, level)
        possible: NDArray[np.bool_] = upper >= 0.5 if low else lower <= 0.5
        return possible

    # The highest sample can be an upper end, and is no less than the lower one: each end is found by bisection.
    first_possible, first_impossible = np.full(len(x), last), np.full(len(x), last + 1)
    below, above = np.full(len(x), -1), np.zeros(len(x), np.int64)
    for _ in range(int(last + 1).bit_length() + 1):
        middle = (below + first_possible) // 2
        possible = can_be(np.maximum(middle, 0), low=True) & (middle >= 0)
        first_possible, below = np.where(possible, middle, first_possible), np.where(possible, below, middle)
        middle = (above + first_impossible) // 2
        possible = can_be(np.minimum(middle, last), low=False) & (middle <= last)
        above, first_impossible = np.where(possible, middle, above), np.where(possible, first_impossible, middle)
    return np.median(x.reshape(len(x), -1), axis=1), samples[of_system, first_possible], samples[of_system, above]

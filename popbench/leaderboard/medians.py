"""Computes medians with their intervals, as results.json holds them."""

from __future__ import annotations

import math
from typing import Any

from popbench import stats
from popbench.leaderboard.pairs import LEVEL
from popbench.records import Scale

ENDS = ("value", "low", "high")
MEDIAN_OF, SAMPLES = "median_of", "samples"
"""What rows with repeats say their median is of; those of earlier results, which lack it, are of prompts' means."""


def medians_of(values: Any, strata: Any, scale: Scale) -> list[dict[str, float | None]]:
    """Return the median of each system's samples, with its interval if there are enough prompts for one.

    `values` have the shape (systems, prompts, repeats). On a real scale, None is also the end that invalid samples
    reach: a median of None if they are more than half.
    """
    found = stats.sample_medians(values, strata, LEVEL, scale)
    columns = [[end if math.isfinite(end) else None for end in column.tolist()] for column in found]
    if stats.too_few_for_a_median(values.shape[1], LEVEL):
        return [dict.fromkeys(ENDS) | {"value": median} for median in columns[0]]
    return [dict(zip(ENDS, row, strict=True)) for row in zip(*columns, strict=True)]

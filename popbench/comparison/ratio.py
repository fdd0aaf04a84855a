"""The interval of the ratio, or the difference, of two medians that are of the same prompts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.pairs import LEVEL
from popbench.records import JSON, Scale

_RESAMPLES = 2_000
"""Resamples used, of those that the table's statistics share: ends of medians need no more."""
_BLOCK = 2**22
"""Numbers in a block of cumulated draws."""


def change_interval(values: Any, scale: Scale, resamples: stats.Resamples) -> list[JSON] | None:
    """Return the interval of after's median over before's, on a real scale of after's less before's.

    Percentiles of the change in each resample of prompts, which takes both medians from the same prompts. A resample
    without a number (no sample of either side is valid) is one of every number, so that it widens the interval. None
    stands for an end without a bound, and for an interval of too few prompts.

    Args:
        values: before and after, shape (2, prompts, repeats); an invalid sample is 0, on a real scale minus infinity.
        scale: of the values.
        resamples: of these prompts.
    """
    if stats.too_few_for_a_median(values.shape[1], LEVEL):
        return None
    before, after = (_medians(side, resamples.draws[:, :_RESAMPLES]) for side in values)
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = after - before if scale == "real" else after / before
    unknown = np.isnan(changes)
    tail = (1 - LEVEL) / 2
    least = -math.inf if scale == "real" else 0.0
    low = np.quantile(np.where(unknown, least, changes), tail, method="lower")
    high = np.quantile(np.where(unknown, math.inf, changes), 1 - tail, method="higher")
    return [float(end) if math.isfinite(end) else None for end in (low, high)]


def _medians(values: Any, draws: Any) -> Any:
    """Return the median of all samples in each resample; `values` are (prompts, repeats)."""
    samples = np.sort(values, axis=None)
    prompt = np.argsort(values, axis=None, kind="stable") // values.shape[1]
    found = []
    for start in range(0, draws.shape[1], step := max(1, _BLOCK // len(samples))):
        up_to = np.cumsum(draws[prompt, start : start + step], axis=0, dtype=np.float32)  # whole numbers, so exact
        half = up_to[-1] / 2
        found.append((samples[(up_to < half).sum(axis=0)] + samples[(up_to <= half).sum(axis=0)]) / 2)
    return np.concatenate(found)

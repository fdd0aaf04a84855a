"""Sentences about what a board's numbers mean, for all its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popbench.leaderboard.medians import MEDIAN_OF, SAMPLES

ORDER = (
    "Rows and ranks are in one order: by the number of systems that win most prompts against a system, equal ones by "
    "mean win rate, and none above one that is decided to be better."
)
VALID = (
    "Among valid: the mean win rate where both samples are valid, with the number of prompts; it says how good a "
    "system's clips are where there are any, and decides nothing."
)


def medians(results: Mapping[str, Any]) -> str:
    """Return a sentence about the medians of samples with repeats; empty where there are none."""
    if any(row.get(MEDIAN_OF) == SAMPLES for row in results["systems"]):
        return "With repeats, medians are of all samples, and do not change with the number of repeats."
    return ""

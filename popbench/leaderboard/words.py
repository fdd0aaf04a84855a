"""Sentences about what a board's numbers mean, for all its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popbench.leaderboard.medians import MEDIAN_OF, SAMPLES
from popbench.leaderboard.shown import tau_shown
from popbench.text import counted

ORDER = (
    "Rows and ranks are in one order: by the number of systems that win most prompts against a system, equal ones by "
    "mean win rate, and none above one that is decided to be better."
)
ESTIMAND = (
    "Intervals, rank sets and verdicts are about prompts like these, drawn anew within the same categories, as this "
    "predictor scores them; the values themselves are those of these prompts. Mean win rates and Bradley-Terry depend "
    "on which systems are on the board"
)
VALID = (
    "Among valid: the mean win rate where both samples are valid, with the number of prompts; it says how good a "
    "system's clips are where there are any, and decides nothing."
)


def estimand(reference: str | None = None) -> str:
    """Say what the numbers are about, and what does not depend on the other systems: `reference` is shown as given."""
    if reference is None:
        return f"{ESTIMAND}."
    return f"{ESTIMAND}; the win rate against {reference} does not."


def intervals(results: Mapping[str, Any]) -> str:
    """Say what the intervals of win rates are, as a part of a sentence."""
    if "sequential" in results:
        return (
            "its interval is a repeated confidence interval, stratified Korn-Graubard at the critical value of each "
            "look, of which the narrowest so far is kept: it holds wherever a run stops"
        )
    resamples = f"{results['resamples']:,}"
    return (
        f"its interval is a paired, stratified bootstrap of {resamples} resamples; the exact interval is stratified "
        "Korn-Graubard"
    )


def medians(results: Mapping[str, Any]) -> str:
    """Return a sentence about the medians of samples with repeats; empty where there are none."""
    if any(row.get(MEDIAN_OF) == SAMPLES for row in results["systems"]):
        return "With repeats, medians are of all samples, and do not change with the number of repeats."
    return ""


def agreement(row: Mapping[str, Any]) -> str:
    """Say how far two predictors agree: `0.62; of 45 pairs both decide 20, and 19 of them alike`."""
    decided = row.get("decided")
    if decided is None:
        return tau_shown(row)
    both = decided["both"] or "none"
    alike = f", and {decided['alike']} of them alike" if decided["both"] else ""
    return f"{row['tau']['value']:.2f} (of {counted(decided['pairs'], 'pair')} both decide {both}{alike})"

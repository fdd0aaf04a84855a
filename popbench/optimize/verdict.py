"""What decides: the choice among the best by the prompts of the selection, and the verdict by those of the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.pairs import rounded
from popbench.records import JSON

FEWEST = 10
"""Prompts below which nothing is proved."""
PROVED, NOT_PROVED = "proved", "not proved"
EXPLOITED = "proved for P, not for Q: the search exploited the predictor"


def choose(values: Any, *, real: bool = False) -> tuple[int, list[float]]:
    """Return the place of the best candidate, the first of equal ones, and each one's mean win rate over the others.

    `values` are scores, shape (candidates, prompts).
    """
    y = stats.pairwise_outcomes(values[:, :, np.newaxis], "real" if real else "positive")
    means = stats.mean_outcomes(y, len(values)).mean(axis=1)
    return int(np.argmax(means)), [rounded(float(mean)) for mean in means]


def compared(best: Any, start: Any, strata: Sequence[int], *, real: bool = False) -> dict[str, JSON]:
    """Return the win rate of the best over the start, from their scores on the same prompts, with its exact interval.

    `proved` says whether that is above 1/2.
    """
    y = stats.pairwise_outcomes(np.stack([best, start])[:, :, np.newaxis], "real" if real else "positive")
    n = int(y.shape[1])
    wins, ties, losses = (int(counts[0]) for counts in stats.outcome_counts(y))
    rate: dict[str, JSON] = {"value": float(stats.win_rates(y)[0]), **exact(y, strata)}
    found: dict[str, JSON] = rounded({"n": n, "wins": wins, "losses": losses, "ties": ties, "win_rate": rate})
    found["p"] = rounded(float(stats.win_rate_p_values(y, strata)[0])) if n > 1 else 1.0
    return {**found, "proved": n >= FEWEST and found["win_rate"]["low"] > 0.5}


def exact(y: Any, strata: Sequence[int]) -> dict[str, float]:
    """Return the ends of the exact interval of a pair, given its outcomes."""
    if y.shape[1] < 2:
        return {"low": 0.0, "high": 1.0}
    low, high = stats.korn_graubard(y, strata)
    return {"low": float(low[0]), "high": float(high[0])}


def verdict_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the verdict of P's row and of those of all Q."""
    p, *others = (row["proved"] for row in rows)
    if not p:
        return NOT_PROVED
    return PROVED if all(others) else EXPLOITED

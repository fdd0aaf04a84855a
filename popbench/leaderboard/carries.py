"""Computes how far the verdicts of a board carry to real outcomes, by the cards of its predictors.

A card says how often the order of two real videos is predicted right, by the size of the difference. A board has
differences of its own, mostly smaller ones, and is worth what the card says of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from popbench import stats
from popbench.cards.card import agreement_of
from popbench.leaderboard.medians import ENDS
from popbench.leaderboard.pairs import LEVEL, rounded_all
from popbench.records import JSON, Scale
from popbench.scores.scores import Block, Scores

_AT_ONCE = 2**20
"""Differences of scores that are looked up at once."""


def carries_rows(scores: Scores, block: Block, strata: Any, table_of: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
    """Yield the row of `carries` of a table, if its predictor has a card that is of its scale and it has pairs.

    `win_in_truth` is the probability that a predicted win on a prompt is one in truth, over all pairs of the table and
    of each; null where nothing is won between valid samples. `true_win_rate` is that which a pair's stands for, and
    `smallest_win_rate` the smallest of one pair by itself that means a true one above 1/2; null if none does.
    """
    card = scores.card
    if card is None or card["scale"] != block.scale or len(block.systems) < 2:
        return
    curve = agreement_of(card)
    found = [np.empty((0, 7))]
    for differences in _differences(np.asarray(block.values, dtype=np.float64), block.scale):
        won = np.isfinite(differences) & (differences != 0)
        wins = stats.win_in_truth(curve, differences)
        rates = stats.true_win_rate(curve, differences, strata, LEVEL)
        found.append(np.column_stack([won.sum(axis=(1, 2)), *wins, *rates]))
    rows = np.concatenate(found)
    n, of_wins = rows[:, 0], np.nan_to_num(rows[:, 1:4])
    whole = (n @ of_wins / n.sum()).tolist() if n.any() else None
    shown = [column.tolist() for column in map(rounded_all, rows[:, 1:].T)]
    yield {
        **table_of,
        "measure": card["measure"],
        "n": len(block.prompts),
        "win_in_truth": None if whole is None else dict(zip(ENDS, whole, strict=True)),
        "smallest_win_rate": None if whole is None else stats.smallest_true_win(whole[1], len(block.prompts), LEVEL),
        "pairs": [
            {
                "a": a,
                "b": b,
                "win_in_truth": dict(zip(ENDS, ends[:3], strict=True)) if wins else None,
                "true_win_rate": dict(zip(ENDS, ends[3:], strict=True)),
            }
            for (a, b), wins, ends in zip(
                combinations(block.systems, 2), n.tolist(), zip(*shown, strict=True), strict=True
            )
        ],
    }


def _differences(values: Any, scale: Scale) -> Iterator[Any]:
    """Yield differences of scores of all pairs, some at a time: (pairs, prompts, repeats), of log2 of positive ones.

    They are infinite where one of two samples is invalid, and 0 where both are.
    """
    with np.errstate(divide="ignore"):
        levels = values if scale == "real" else np.log2(values)
    first, second = np.triu_indices(len(values), 1)
    step = max(1, _AT_ONCE // (values.shape[1] * values.shape[2]))
    for start in range(0, len(first), step):
        with np.errstate(invalid="ignore"):
            found = levels[first[start : start + step]] - levels[second[start : start + step]]
        yield np.where(np.isnan(found), 0.0, found)


def carries_of(results: Mapping[str, Any], predictor: str, task: str) -> Mapping[str, Any] | None:
    """Return a table's row of `carries`; None if it has none."""
    rows = results.get("carries", [])
    return next((row for row in rows if (row["predictor"], row["task"]) == (predictor, task)), None)

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
from popbench.cards.card import PredictorCard, agreement_of
from popbench.leaderboard.medians import ENDS
from popbench.leaderboard.pairs import LEVEL, rounded_all
from popbench.records import JSON, Scale
from popbench.scores.scores import Block, Scores

_AT_ONCE = 2**20
"""Differences of scores that are looked up at once."""


def carries_rows(scores: Scores, block: Block, strata: Any, table_of: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
    """Yield the row of `carries` of a table, if its predictor has a card that is of its scale and it has pairs.

    `win_in_truth` is the probability that a predicted win on a prompt is one in truth, over all pairs of the table, and
    `smallest_win_rate` the smallest of one pair by itself that means a true one above 1/2; null if none does. `pairs`
    are as `worth` has them.
    """
    card = scores.card
    if card is None or card["scale"] != block.scale or len(block.systems) < 2:
        return
    values = np.asarray(block.values, dtype=np.float64)
    first, second = np.triu_indices(len(values), 1)
    step = max(1, _AT_ONCE // values[0].size)
    pairs: list[dict[str, JSON]] = []
    of_wins = np.zeros(4)
    for start in range(0, len(first), step):
        chosen = slice(start, start + step)
        rows, sums = worth(card, values[first[chosen]], values[second[chosen]], block.scale, strata)
        pairs += rows
        of_wins += sums
    whole = (of_wins[:3] / of_wins[3]).tolist() if of_wins[3] else None
    yield {
        **table_of,
        "measure": card["measure"],
        "n": len(block.prompts),
        "win_in_truth": None if whole is None else dict(zip(ENDS, whole, strict=True)),
        "smallest_win_rate": None if whole is None else stats.smallest_true_win(whole[1], len(block.prompts), LEVEL),
        "pairs": [{"a": a, "b": b, **row} for (a, b), row in zip(combinations(block.systems, 2), pairs, strict=True)],
    }


def worth(card: PredictorCard, ours: Any, theirs: Any, scale: Scale, strata: Any) -> tuple[list[dict[str, JSON]], Any]:
    """Return what the win rates of pairs are worth, given the scores of either side: (pairs, prompts, repeats).

    Of each pair `win_in_truth`, the probability that a predicted win on a prompt is one in truth, null where nothing is
    won between valid samples; and `true_win_rate`, that which its win rate stands for. Also returns the sums of value,
    low and high over all these wins, and their number.
    """
    differences = _differences(ours, theirs, scale)
    curve = agreement_of(card)
    wins = np.array(stats.win_in_truth(curve, differences))
    rates = stats.true_win_rate(curve, differences, strata, LEVEL)
    n = (np.isfinite(differences) & (differences != 0)).sum(axis=(1, 2))
    columns = [column.tolist() for column in map(rounded_all, (*wins, *rates))]
    rows: list[dict[str, JSON]] = [
        {
            "win_in_truth": dict(zip(ENDS, ends[:3], strict=True)) if won else None,
            "true_win_rate": dict(zip(ENDS, ends[3:], strict=True)),
        }
        for won, ends in zip(n.tolist(), zip(*columns, strict=True), strict=True)
    ]
    return rows, np.array([*(np.nan_to_num(wins) @ n), n.sum()])


def _differences(ours: Any, theirs: Any, scale: Scale) -> Any:
    """Return differences of scores, of log2 of positive ones.

    They are infinite where one of two samples is invalid, and 0 where both are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = ours - theirs if scale == "real" else np.log2(ours) - np.log2(theirs)
    return np.where(np.isnan(found), 0.0, found)


def carries_of(results: Mapping[str, Any], predictor: str, task: str) -> Mapping[str, Any] | None:
    """Return a table's row of `carries`; None if it has none."""
    rows = results.get("carries", [])
    return next((row for row in rows if (row["predictor"], row["task"]) == (predictor, task)), None)

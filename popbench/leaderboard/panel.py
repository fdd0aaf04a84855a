"""Computes what the predictors of a board say of each pair together: how many agree, and whether one alone decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.agreement import common_to, indices
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS, LEVEL, VERDICTS, draw, rounded_all
from popbench.records import JSON
from popbench.scores.scores import Block

_MOST = 2**22
"""Outcomes (predictors times pairs times prompts) of a table at most; larger ones have no panel."""


def panel(blocks: Mapping[str, Sequence[Block]]) -> Iterator[dict[str, JSON]]:
    """Judge the pairs of each table by the mean outcome over its predictors, on what all of them scored.

    A pair's `agreeing` is the share of the predictors whose win rate is on the panel's side of 1/2, and `survives` says
    whether its verdict is the same without any one of them; null as `verdict` where there are too few prompts.
    """
    tables: dict[str, dict[str, Block]] = {}
    for predictor, of_predictor in blocks.items():
        for block in of_predictor:
            tables.setdefault(block.name, {})[predictor] = block
    for task, of_task in tables.items():
        if len(of_task) > 1:
            yield from _table(task, of_task)


def _table(task: str, blocks: Mapping[str, Block]) -> Iterator[dict[str, JSON]]:
    first, *others = blocks.values()
    systems, prompts, repeats = first.systems, first.prompts, first.repeats
    for other in others:
        systems, prompts = common_to(systems, other.systems), common_to(prompts, other.prompts)
        repeats = common_to(repeats, other.repeats)
    pairs = list(combinations(systems, 2))
    if not pairs or not prompts or not repeats or len(blocks) * len(pairs) * len(prompts) > _MOST:
        return
    outcomes = np.stack(
        [
            stats.pairwise_outcomes(
                np.asarray(block.values, dtype=np.float64)[
                    np.ix_(
                        indices(block.systems, systems),
                        indices(block.prompts, prompts),
                        indices(block.repeats, repeats),
                    )
                ],
                block.scale,
            )
            for block in blocks.values()
        ]
    ).astype(np.float64)
    strata = _strata(first, prompts)
    mean = outcomes.mean(axis=0)
    _, _, furthest = draw(strata).intervals_and_furthest(mean, LEVEL)
    critical_value = stats.MaxT.of(furthest, len(pairs)).critical_value(LEVEL)
    found = stats.panel_verdicts(outcomes, strata, critical_value)
    judged = len(prompts) >= FEWEST_FOR_VERDICTS
    yield {
        "task": task,
        "predictors": list(blocks),
        "n": len(prompts),
        "pairs": [
            {
                "a": a,
                "b": b,
                "win_rate": rate,
                "verdict": VERDICTS[verdict] if judged else None,
                "agreeing": agreeing,
                "survives": survives if judged else None,
            }
            for (a, b), rate, verdict, agreeing, survives in zip(
                pairs,
                rounded_all(stats.win_rates(mean)).tolist(),
                found.verdicts.tolist(),
                rounded_all(found.agreeing).tolist(),
                found.survives.tolist(),
                strict=True,
            )
        ],
    }


def _strata(block: Block, prompts: Sequence[Any]) -> Any:
    category = dict(zip(block.prompts, block.categories, strict=True))
    names = [f"{task}\0{category[task, prompt]}" for task, prompt in prompts]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def panel_of(results: Mapping[str, Any], task: str) -> Mapping[str, Any] | None:
    """Return a task's row of `panel`; None if it has none."""
    return next((row for row in results.get("panel", []) if row["task"] == task), None)

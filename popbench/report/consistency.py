"""Checks that a run's results.json and samples.jsonl belong together: one of them may have been edited or restored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from popbench import stats
from popbench.errors import UsageError
from popbench.leaderboard.medians import MEDIAN_OF
from popbench.leaderboard.shown import median_place
from popbench.scores.rows import ERROR
from popbench.scores.scores import Block, Scores, blocks

_NEAR = 1e-6
"""Difference in a median or a rate that another machine's arithmetic may cause."""
_OF_SYSTEMS = ("prompts", "invalid", "errors", "median")
_OF_PAIRS = ("win rate", "wins", "ties", "losses")
_AGAIN = "give the run's command again, which writes both anew"


def check_agreement(results: Mapping[str, Any], sources: Sequence[Scores], run: str) -> None:
    """Raise UsageError if the counts, medians and win rates of results are not those of a run's samples.

    Intervals are not computed again, since they take a hundred times as long.
    """
    if not any(len(scores.rows) for scores in sources):
        raise UsageError(f"{run}: samples.jsonl is empty, and results.json is not: {_AGAIN}")
    computed: dict[tuple[str, ...], float] = {}
    of_samples = any(MEDIAN_OF in row for row in results["systems"])
    written = dict(_written(results))
    if "sequential" in results:  # systems have different numbers of prompts: each is checked by itself, pairs are not
        sources = [scores.only(system) for scores in sources[:1] for system in scores.table.system_names]
        written = {key: value for key, value in written.items() if key[1] in _OF_SYSTEMS}
    tables = {key[2] for key in written}
    for scores in sources:
        for block in blocks(scores, common=results["restricted_to_common"]):
            if "sequential" not in results or block.name in tables:
                computed.update(_numbers(block, scores, of_samples=of_samples))
    for key in dict.fromkeys((*computed, *written)):
        one, other = computed.get(key), written.get(key)
        if one is None or other is None or not math.isclose(one, other, rel_tol=_NEAR, abs_tol=_NEAR):
            what, task, *systems = key[1:]
            where = f"{what} of {' against '.join(map(repr, systems))} on {task}, by predictor {key[0]}"
            raise UsageError(
                f"{run}: results.json is not what samples.jsonl gives: {where} is {_shown(other)} in the one and "
                f"{_shown(one)} by the other: {_AGAIN}"
            )


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:,.10g}"


def _numbers(block: Block, scores: Scores, *, of_samples: bool) -> Iterator[tuple[tuple[str, ...], float]]:
    values = np.asarray(block.values, dtype=np.float64)
    tasks = {task for task, _ in block.prompts}
    rows = scores.table
    rows = rows.where(rows.of_tasks(tasks) & rows.has_status(ERROR))
    errors = Counter(rows.systems.names[code] for code in rows.system.tolist())
    invalid = -math.inf if block.scale == "real" else 0
    shown = values.reshape(len(values), -1) if of_samples else block.of_prompts
    for system, of_system_values, median in zip(block.systems, values, np.median(shown, axis=1).tolist(), strict=True):
        of_system = (len(block.prompts), int((of_system_values == invalid).sum()), errors[system], median)
        for what, number in zip(_OF_SYSTEMS, of_system, strict=True):
            yield (scores.predictor, what, block.name, system), number
    outcomes = stats.pairwise_outcomes(values, block.scale)
    first, second = np.triu_indices(len(block.systems), 1)
    counted = (stats.win_rates(outcomes), *stats.outcome_counts(outcomes))
    for a, b, *numbers in zip(first, second, *(column.tolist() for column in counted), strict=True):
        for what, number in zip(_OF_PAIRS, numbers, strict=True):
            yield (scores.predictor, what, block.name, block.systems[a], block.systems[b]), number


def _written(results: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for row in results["systems"]:
        numbers = (row["n"], row["invalid"], row["errors"], median_place(row))
        for what, number in zip(_OF_SYSTEMS, numbers, strict=True):
            yield (row["predictor"], what, row["task"], row["system"]), number
    for row in results["pairs"]:
        numbers = (row["win_rate"]["value"], row["wins"], row["ties"], row["losses"])
        for what, number in zip(_OF_PAIRS, numbers, strict=True):
            yield (row["predictor"], what, row["task"], row["a"], row["b"]), number

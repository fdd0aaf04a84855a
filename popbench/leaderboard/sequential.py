"""The board of prompts taken in rounds: every number holds at the look at which the run stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.medians import ENDS
from popbench.leaderboard.order import ranks
from popbench.leaderboard.pairs import BASIC, VERDICTS, flipped, rounded
from popbench.leaderboard.results import compute
from popbench.records import JSON, Scale, parts_of
from popbench.scores.scores import Scores
from popbench.stats import SequentialState


def compute_sequential(
    scores: Scores, systems: Sequence[str], values: Any, state: SequentialState, told: Mapping[str, JSON]
) -> dict[str, Any]:
    """Compute results.json of one predictor's scores, with what a sequential procedure decided from them.

    There is one table, that of the group or of the task; other tables and other predictors would have intervals that
    do not hold where a run stops by what it finds. A system's medians and shares are those of its own prompts; pairs
    are of the prompts that both took, and `win_rate` has intervals that hold whenever one stops: `low`, `high` and
    `exact` of the pair by itself, `simultaneous` for all pairs together. A mean win rate is that of its pairs, and its
    interval the mean of theirs. `values` are the scores, shape (systems, prompts, repeats), NaN for prompts that a
    system did not take. `told` is stored as `sequential`.
    """
    alone = [compute([scores.only(system)], common=True) for system in systems]
    first = alone[0]["systems"][0]
    table = {"task": first["task"], "predictor": scores.predictor}
    pairs = list(_pairs(systems, values, state, table, scores.scale))
    whole: dict[str, Any] = rounded(
        {
            **alone[0],
            "restricted_to_common": False,
            "systems": [
                {**row["systems"][0], **standing}
                for row, standing in zip(alone, _standings(len(systems), state), strict=True)
            ],
            "pairs": pairs,
            "enhancement": list(_contrasts(pairs, scores.modes)),
            "minimum_detectable_win_rate": [],
            "sequential": dict(told),
        }
    )
    return whole


def _pairs(
    systems: Sequence[str], values: Any, state: SequentialState, table: Mapping[str, JSON], scale: Scale
) -> Iterator[Any]:
    """Yield the rows of `pairs`; `decided_at` is the look at which a pair was decided, None if it is not."""
    first, second = np.triu_indices(len(systems), 1)
    for row, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        both = ~np.isnan(values[[a, b]]).any(axis=(0, 2))
        wins, ties, losses = stats.outcome_counts(stats.pairwise_outcomes(values[[a, b]][:, both], scale))
        low, high = float(state.low[row]), float(state.high[row])
        yield {
            **table,
            "a": systems[a],
            "b": systems[b],
            "n": int(state.n_prompts[row]),
            "wins": int(wins[0]),
            "losses": int(losses[0]),
            "ties": int(ties[0]),
            "win_rate": {
                "value": float(state.win_rates[row]),
                "low": low,
                "high": high,
                "exact": [low, high],
                "simultaneous": [float(state.family_low[row]), float(state.family_high[row])],
            },
            "verdict": VERDICTS[int(state.verdicts[row])],
            "p": None,
            "p_adjusted": None,
            "decided_at": int(state.decided_at[row]) or None,
        }


def _contrasts(pairs: Sequence[dict[str, Any]], modes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the pairs of a mode against basic, with the mode's side first; they are judged among all pairs."""
    for pair in pairs:
        a, b = parts_of(pair["a"]), parts_of(pair["b"])
        if a is None or b is None or (a[0], a[2]) != (b[0], b[2]):
            continue
        basic = [modes.get(mode, mode) == BASIC for mode in (a[1], b[1])]
        if basic.count(True) == 1:
            contrast = flipped(pair) if basic[0] else pair
            yield {**contrast, "llm": a[0], "mode": (b if basic[0] else a)[1], "generator": a[2]}


def _standings(n_systems: int, state: SequentialState) -> Iterator[dict[str, JSON]]:
    """Yield each system's standing among the others."""
    first, second = np.triu_indices(n_systems, 1)
    means, intervals = [], []
    for system in range(n_systems):
        ahead, behind = first == system, second == system
        means.append(float(np.mean([*state.win_rates[ahead], *(1 - state.win_rates[behind])])))
        low = np.mean([*state.family_low[ahead], *(1 - state.family_high[behind])])
        high = np.mean([*state.family_high[ahead], *(1 - state.family_low[behind])])
        intervals.append([float(low), float(high)])
    places = zip(*ranks(state.win_rates, state.verdicts, means), strict=True)
    for mean, interval, place in zip(means, intervals, places, strict=True):
        yield {
            "mean_win_rate": mean,
            "mean_win_rate_interval": interval,
            "bradley_terry": None,
            "rank": dict(zip(ENDS, place, strict=True)),
        }


def sentence(told: Mapping[str, Any]) -> str:
    """Say that prompts were taken in rounds, and what that means for the numbers."""
    design, look = told["design"], told["look"]
    goal = {"best": "the best system is found", "decided": "all pairs are decided"}.get(
        design["goal"], f"intervals are at most {design['width']} wide"
    )
    return (
        f"Prompts were taken in rounds until {goal}, or no more was to be found. The last look was {look} of "
        f"{len(design['looks'])}, with {design['looks'][look - 1]} of {design['looks'][-1]} prompts. At most "
        f"{100 * (1 - design['level']):.3g} % of such boards have a wrong verdict, and intervals hold, wherever a run "
        "stops; a win rate at which a comparison ended is on average too far from 50 %."
    )


def when_decided(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each look at which pairs were decided."""
    looks = results["sequential"]["design"]["looks"]
    for number, n in enumerate(looks, 1):
        decided = [pair for pair in results["pairs"] if pair.get("decided_at") == number]
        if decided:
            names = [
                f"{pair['a']} over {pair['b']}" if pair["verdict"] == "better" else f"{pair['b']} over {pair['a']}"
                for pair in decided
            ]
            yield f"Look {number}, {n} prompts: {', '.join(names)}"

"""Computes how far the predictors of a board agree on the order of its systems.

Kendall's tau has no interval: it jumps where two systems are nearly equal, and resampled intervals of it miss. What the
data say for certain is how many of the pairs that both predictors decide they decide alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from popbench import stats
from popbench.records import JSON, Scale
from popbench.scores.scores import Block

_SIGNS = {"better": 1, "worse": -1}


def agreement(blocks: Mapping[str, Sequence[Block]], pairs: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, JSON]]:
    """Compare every two predictors on each table that both have, on the systems, prompts and repeats that both scored.

    `tau` is Kendall's tau-b between the systems' mean win rates; null for fewer than 2 systems, and if one of the
    predictors ranks all systems the same. `decided` counts the pairs that both decide: by `pairs`, the rows of
    results.json, whose verdicts are those of each predictor's own prompts.
    """
    of_tables: dict[tuple[str, str], list[int]] = {}
    for pair in pairs:
        of_tables.setdefault((pair["predictor"], pair["task"]), []).append(_SIGNS.get(pair["verdict"], 0))
    for a, b in combinations(blocks, 2):
        others = {block.name: block for block in blocks[b]}
        for block in blocks[a]:
            if block.name in others:
                signs = [np.array(of_tables.get((name, block.name), []), np.int8) for name in (a, b)]
                yield {"task": block.name, "a": a, "b": b, **_compare(block, others[block.name], signs)}


def _compare(first: Block, second: Block, signs: Sequence[Any]) -> dict[str, JSON]:
    systems = common_to(first.systems, second.systems)
    prompts = common_to(first.prompts, second.prompts)
    repeats = common_to(first.repeats, second.repeats)
    counts = {"systems": len(systems), "n": len(prompts)}
    if len(systems) < 2 or not prompts or not repeats:
        return {**counts, "tau": None}
    ours, theirs = (_half_wins(block, systems, prompts, repeats) for block in (first, second))
    decided = (_of_systems(of, block.systems, systems) for of, block in zip(signs, (first, second), strict=True))
    return {**counts, "tau": tau_of(ours, theirs), "decided": alike(*decided)}


def tau_of(ours: Any, theirs: Any) -> dict[str, JSON] | None:
    """Return tau-b between two orders of the same systems by `half_wins`; None where one of them is all ties.

    Its ends are null: earlier results have an interval there.
    """
    (tau,) = stats.kendall_tau_b(ours.sum(axis=1)[np.newaxis], theirs.sum(axis=1)[np.newaxis])
    return {"value": float(tau), "low": None, "high": None} if np.isfinite(tau) else None


def alike(ours: Any, theirs: Any) -> dict[str, JSON]:
    """Count the pairs that both decide, given the signs of their verdicts, and those that they decide alike."""
    both = (ours != 0) & (theirs != 0)
    return {"pairs": len(ours), "both": int(both.sum()), "alike": int((ours[both] == theirs[both]).sum())}


def _of_systems(signs: Any, systems: Sequence[str], wanted: Sequence[str]) -> Any:
    """Return the verdicts of all pairs of some systems of a table, given those of all its pairs."""
    matrix = np.zeros((len(systems), len(systems)), np.int8)
    matrix[np.triu_indices(len(systems), 1)] = signs
    matrix -= matrix.T
    chosen = indices(systems, wanted)
    chosen_pairs: Any = matrix[np.ix_(chosen, chosen)][np.triu_indices(len(chosen), 1)]
    return chosen_pairs


def _half_wins(block: Block, systems: Sequence[str], prompts: Sequence[Any], repeats: Sequence[int]) -> Any:
    chosen = np.ix_(indices(block.systems, systems), indices(block.prompts, prompts), indices(block.repeats, repeats))
    return half_wins(np.asarray(block.values, dtype=np.float64)[chosen], block.scale)


def half_wins(values: Any, scale: Scale) -> Any:
    """Return each system's wins over all others on each prompt, in halves: whole numbers, so that sums are exact."""
    n_systems, _, n_repeats = values.shape
    y = stats.pairwise_outcomes(values, scale)
    return np.rint(stats.mean_outcomes(y, n_systems) * (n_systems - 1) * 2 * n_repeats)


def common_to(ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    """Return what is in both, in the order of the first."""
    wanted = set(theirs)
    return [item for item in ours if item in wanted]


def indices(items: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    """Return the places of the wanted items among all."""
    number = {item: index for index, item in enumerate(items)}
    return [number[item] for item in wanted]

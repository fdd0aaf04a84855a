"""Computes how far the predictors of a board agree on the order of its systems."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.pairs import draw
from popbench.records import JSON, Scale
from popbench.scores.scores import Block

_COMPARISONS, _ALL_COMPARISONS = 5 * 10**7, 5 * 10**8
"""Pairs of systems that are compared at most, over all resamples: for two orders, and for all of a board."""


def agreement(blocks: Mapping[str, Sequence[Block]]) -> Iterator[dict[str, JSON]]:
    """Compare every two predictors on each table that both have, on the systems, prompts and repeats that both scored.

    `tau` is Kendall's tau-b between the systems' mean win rates; null for fewer than 2 systems, and if one of the
    predictors ranks all systems the same.
    """
    drawn: dict[bytes, stats.Resamples] = {}
    n_pairs = len(blocks) * (len(blocks) - 1) // 2
    for a, b in combinations(blocks, 2):
        others = {block.name: block for block in blocks[b]}
        for block in blocks[a]:
            if block.name in others:
                yield {"task": block.name, "a": a, "b": b, **_compare(block, others[block.name], n_pairs, drawn)}


def _compare(first: Block, second: Block, n_pairs: int, drawn: dict[bytes, stats.Resamples]) -> dict[str, JSON]:
    systems = _common(first.systems, second.systems)
    prompts = _common(first.prompts, second.prompts)
    repeats = _common(first.repeats, second.repeats)
    counts = {"systems": len(systems), "n": len(prompts)}
    if len(systems) < 2 or not prompts or not repeats:
        return {**counts, "tau": None}
    category = dict(zip(first.prompts, first.categories, strict=True))
    strata = np.unique([f"{prompt[0]}\0{category[prompt]}" for prompt in prompts], return_inverse=True)[1]
    ours, theirs = (_half_wins(block, systems, prompts, repeats) for block in (first, second))
    return {**counts, "tau": tau_of(ours, theirs, strata.astype(np.int64), n_pairs, drawn)}


def tau_of(ours: Any, theirs: Any, strata: Any, n_pairs: int, drawn: dict[bytes, stats.Resamples]) -> JSON:
    """Return tau-b with its interval between two orders of the same systems by `half_wins`; None where it has none.

    `n_pairs` is the number of orders compared in all: of very many, each is compared on fewer resamples. `drawn` keeps
    the resamples of equal strata from one pair to the next.
    """
    if not strata.size:
        return None
    resamples = drawn.get(strata.tobytes())
    if resamples is None:
        resamples = drawn[strata.tobytes()] = draw(strata)
    tau = stats.rank_agreement(ours, theirs, resamples, comparisons=min(_COMPARISONS, _ALL_COMPARISONS // n_pairs))
    if tau is None:
        return None
    return {
        key: number if math.isfinite(number) else None
        for key, number in zip(("value", "low", "high"), tau, strict=True)
    }


def _half_wins(block: Block, systems: Sequence[str], prompts: Sequence[Any], repeats: Sequence[int]) -> Any:
    chosen = np.ix_(
        _indices(block.systems, systems), _indices(block.prompts, prompts), _indices(block.repeats, repeats)
    )
    return half_wins(np.asarray(block.values, dtype=np.float64)[chosen], block.scale)


def half_wins(values: Any, scale: Scale) -> Any:
    """Return each system's wins over all others on each prompt, in halves: whole numbers, so that sums are exact."""
    n_systems, _, n_repeats = values.shape
    y = stats.pairwise_outcomes(values, scale)
    return np.rint(stats.mean_outcomes(y, n_systems) * (n_systems - 1) * 2 * n_repeats)


def _common(ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    wanted = set(theirs)
    return [item for item in ours if item in wanted]


def _indices(items: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
    number = {item: index for index, item in enumerate(items)}
    return [number[item] for item in wanted]

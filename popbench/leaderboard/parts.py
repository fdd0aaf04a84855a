"""Computes the statistics of the parts of scores: medians by system, and how far parts agree on its order.

A part has no verdicts: a board ranks by the score, and its parts say what that is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popbench import stats
from popbench.leaderboard.agreement import alike, half_wins, tau_of
from popbench.leaderboard.medians import medians_of
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS, LEVEL
from popbench.records import JSON, Scale
from popbench.scores.rows import ERROR, INVALID
from popbench.scores.scores import Block, Scores

MATRIX = 25
"""The most orders of which every two are compared."""
_Values = NDArray[np.float64]


def parts_of_block(scores: Scores, block: Block) -> dict[str, _Values]:
    """Return each part's values, (systems, prompts, repeats): minus infinity if invalid, NaN if an answer lacks it."""
    rows = scores.table
    if not rows.part_names:
        return {}
    rows = rows.where(rows.of_tasks({task for task, _ in block.prompts}) & ~rows.has_status(ERROR))
    line, column = _places(rows.systems.names, block.systems)[rows.system], _places(rows.prompts.names, block.prompts)
    column = column[rows.prompt]
    kept = (line >= 0) & (column >= 0) & np.isin(rows.repeat, block.repeats)
    places = line[kept], column[kept], np.searchsorted(block.repeats, rows.repeat[kept])
    found = {}
    for name in rows.part_names:
        numbers = np.where(rows.has_status(INVALID), -np.inf, rows.part(name))[kept]
        if np.isfinite(numbers).any():
            found[name] = np.full(block.values.shape, np.nan)
            found[name][places] = numbers
    return found


def _places(names: Any, wanted: Any) -> NDArray[np.int64]:
    place_of = {name: number for number, name in enumerate(wanted)}
    return np.array([place_of.get(name, -1) for name in names], np.int64)


def median_rows(block: Block, strata: Any, parts: dict[str, _Values], table_of: dict[str, JSON]) -> Iterator[Any]:
    """Yield each system's median of each part, with Woodruff's interval, over the `n` prompts whose answers have it.

    A prompt's number is the median of its repeats, as on a real scale: invalid samples rank below every number.
    """
    for name, values in parts.items():
        for system, of_system in zip(block.systems, values, strict=True):
            has = ~np.isnan(of_system).all(axis=1)
            row = {**table_of, "part": name, "system": system, "n": int(has.sum())}
            if has.any():
                of_prompts = np.nanmedian(of_system[has], axis=1)[np.newaxis, :, np.newaxis]
                yield {**row, "median": medians_of(of_prompts, strata[has], "real")[0]}


def agreement_rows(
    block: Block, strata: Any, parts: dict[str, _Values], table_of: dict[str, JSON]
) -> Iterator[dict[str, Any]]:
    """Yield Kendall's tau between the orders of the systems by every two parts, and by each part and the score.

    `a` is None for the score itself. A pair is compared on the prompts on which all samples have both. Of more than
    `MATRIX` orders, each part is compared with the score alone: hundreds of pairs tell nobody anything. `decided`
    counts the pairs of systems that both decide, by exact intervals that hold together for all pairs.
    """
    orders: dict[str | None, tuple[_Values, Scale]] = {None: (block.values, block.scale)}
    orders |= {name: (values, "real") for name, values in parts.items()}
    complete = {name: ~np.isnan(values).any(axis=(0, 2)) for name, (values, _) in orders.items()}
    several = len(block.systems) > 1
    known: dict[tuple[str | None, bytes], tuple[Any, Any]] = {}

    def on(name: str | None, prompts: Any) -> tuple[Any, Any]:
        """Return half wins and decided pairs by one order on some prompts."""
        key = name, prompts.tobytes()
        if key not in known:
            values, scale = orders[name]
            known[key] = half_wins(values[:, prompts], scale), _decided(values[:, prompts], scale, strata[prompts])
        return known[key]

    for a, b in [(a, b) for a, b in combinations(orders, 2) if a is None or len(orders) <= MATRIX]:
        both = complete[a] & complete[b]
        row = {**table_of, "a": a, "b": b, "systems": len(block.systems), "n": int(both.sum())}
        if not several or not both.any():
            yield {**row, "tau": None}
            continue
        (ours, our_verdicts), (theirs, their_verdicts) = on(a, both), on(b, both)
        yield {**row, "tau": tau_of(ours, theirs), "decided": alike(our_verdicts, their_verdicts)}


def _decided(values: _Values, scale: Scale, strata: Any) -> Any:
    """Return verdicts of all pairs of systems; their exact intervals hold together by Bonferroni."""
    y = stats.pairwise_outcomes(values, scale)
    if len(strata) < FEWEST_FOR_VERDICTS:
        return np.zeros(len(y), np.int8)
    return stats.verdicts(*stats.korn_graubard(y, strata, 1 - (1 - LEVEL) / len(y)))

"""Computes results.json: every statistic of a board, each rate and median with its interval and its n."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from popbench import stats
from popbench.leaderboard.agreement import agreement
from popbench.leaderboard.carries import carries_rows
from popbench.leaderboard.families import Role, roles
from popbench.leaderboard.luck import luck_rows
from popbench.leaderboard.medians import ENDS, MEDIAN_OF, SAMPLES, medians_of
from popbench.leaderboard.order import ranks
from popbench.leaderboard.pairs import LEVEL, RESAMPLES, Compared, compare, contrasts, draw, resamples_of, rounded
from popbench.leaderboard.panel import panel
from popbench.leaderboard.parts import agreement_rows, median_rows, parts_of_block
from popbench.leaderboard.reference import check_reference
from popbench.leaderboard.valid import valid_win_rates
from popbench.records import JSON
from popbench.scores.rows import ERROR, INVALID
from popbench.scores.scores import Block, Scores, blocks

_FEW_OUTCOMES, _FEW_PROMPTS, _TABLES_AT_ONCE = 2**22, 5_000, 4
"""Tables of at most so many outcomes (pairs times prompts) and prompts are computed together, so many at a time."""


def compute(sources: Sequence[Scores], *, common: bool = False, reference: str | None = None) -> dict[str, Any]:
    """Compute a board from one or more predictors' scores of the same systems.

    `reference` is the system that win rates are shown against. Raises UsageError if it is none of the systems, if a row
    is no score, and if systems were run on different prompts, unless `common` restricts them to the prompts that all
    have; `limited` in the result says for which tasks prompts are missing.
    """
    if reference is not None:
        check_reference(reference, [system for scores in sources for system in scores.table.system_names])
    results: dict[str, Any] = {
        "schema": 1,
        "demo": any(scores.demo for scores in sources),
        "tasks": [
            {"name": name, **facts}
            for name, facts in sorted(
                {name: facts for scores in sources for name, facts in scores.tasks.items()}.items()
            )
        ],
        "predictors": [
            {
                "name": scores.predictor,
                "digest": scores.predictor_digest,
                "unit": scores.unit,
                **({"scale": scores.scale} if scores.scale != "positive" else {}),
                **({} if scores.card is None else {"card": dict(scores.card)}),
            }
            for scores in sources
        ],
        "level": LEVEL,
        "resamples": RESAMPLES,
        "restricted_to_common": common,
        **({} if reference is None else {"reference": reference}),
        "limited": limited(sources),
        "notes": {label: note for scores in sources for label, note in sorted(scores.notes.items())},
        "references": _unique(reference for scores in sources for reference in scores.references),
        "remarks": _unique(remark for scores in sources for remark in scores.remarks),
        "systems": [],
        "pairs": [],
        "enhancement": [],
        "minimum_detectable_win_rate": [],
        "families": [],
        "parts": [],
        "part_agreement": [],
        "luck": [],
        "carries": [],
    }
    tables_of = {scores.predictor: list(blocks(scores, common=common)) for scores in sources}
    drawn = [resamples_of(len(block.prompts)) for tables in tables_of.values() for block in tables]
    results["resamples"] = min(drawn, default=RESAMPLES)
    tables = [(scores, block) for scores in sources for block in tables_of[scores.predictor]]
    for table in _tables(tables, roles(tables)):
        for key, rows in table.items():
            results[key] += rows
    for name in ("families", "parts", "part_agreement", "luck", "carries"):
        if not results[name]:
            del results[name]
    unusable = {system: of for scores in sources for system, of in sorted(scores.unusable.items())}
    if unusable:
        results["unusable"] = unusable
    if len(tables_of) > 1:
        results["agreement"] = list(agreement(tables_of, results["pairs"]))
        if together := list(panel(tables_of)):
            results["panel"] = together
    # Pairs are rounded already: there are many of them, and their verdicts are those of the rounded intervals.
    return {key: value if key in ("pairs", "enhancement") else rounded(value) for key, value in results.items()}


def _unique(values: Iterable[Any]) -> list[Any]:
    unique: list[Any] = []
    for value in values:
        if value not in unique:
            unique.append(value)
    return unique


def limited(sources: Sequence[Scores]) -> dict[str, list[int]]:
    """Return the tasks of which only some prompts were run: [fewest prompts of a predictor, prompts of the task]."""
    shortened: dict[str, list[int]] = {}
    for scores in sources:
        run = Counter(task for task, _ in scores.table.prompt_names)
        for task, facts in scores.tasks.items():
            n, total = run[task], facts.get("prompts")
            if total is not None and n < total:
                shortened[task] = min(shortened.get(task, [n, total]), [n, total])
    return dict(sorted(shortened.items()))


def _tables(blocks: Sequence[tuple[Scores, Block]], of_blocks: Sequence[Role]) -> Iterator[dict[str, list[Any]]]:
    """Compute the rows of every table, in order; small tables in several threads, with one thread of BLAS for each.

    BLAS's own threads would wait for each other at every step, and for long if other processes use the cores.
    """
    largest = max((len(block.systems) ** 2 // 2 * len(block.prompts) for _, block in blocks), default=0)
    if largest > _FEW_OUTCOMES or max((len(block.prompts) for _, block in blocks), default=0) > _FEW_PROMPTS:
        yield from (_table(*of, role) for of, role in zip(blocks, of_blocks, strict=True))
        return
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(os.cpu_count() or 1, _TABLES_AT_ONCE)) as pool:
        yield from pool.map(_table, *zip(*blocks, strict=True), of_blocks)


def _table(scores: Scores, block: Block, role: Role) -> dict[str, list[Any]]:
    values = np.asarray(block.values, dtype=np.float64)
    strata = strata_of(block)
    table_of = {"task": block.name, "predictor": scores.predictor}
    y = stats.pairwise_outcomes(values, block.scale)
    resamples = draw(strata)

    def judge(outcomes: Any) -> Compared:
        return compare(outcomes, strata, resamples, repeats=values.shape[2], families=role.tables)

    compared = judge(y)
    pairs = [
        {**table_of, "a": a, "b": b, **pair}
        for (a, b), pair in zip(combinations(block.systems, 2), compared.rows(), strict=True)
    ]
    enhancement, of_contrasts = contrasts(block.systems, y, scores.modes, judge)
    parts = parts_of_block(scores, block)
    return {
        "systems": _systems(scores, block, values, strata, y, resamples, compared, table_of),
        "pairs": pairs,
        "enhancement": [{**table_of, **row} for row in enhancement],
        "minimum_detectable_win_rate": [
            {**table_of, **detectable(len(block.prompts), len(y), compared.critical_value)}
        ],
        "families": [{**table_of, **role.row(compared, of_contrasts)}] if pairs else [],
        "parts": list(median_rows(block, strata, parts, table_of)),
        "part_agreement": list(agreement_rows(block, strata, parts, table_of)) if parts else [],
        "luck": list(luck_rows(block, strata, pairs, scores.drafts, table_of)),
        "carries": list(carries_rows(scores, block, strata, table_of)),
    }


def strata_of(block: Block) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the stratum of each prompt, as a number: its category, and its task where tasks are pooled."""
    names = [f"{task}\0{category}" for (task, _), category in zip(block.prompts, block.categories, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def detectable(n_prompts: int, n_pairs: int, critical_value: float) -> dict[str, JSON]:
    """Return the detectable win rates with so many prompts: of one pair, and of `n_pairs` judged together."""
    return {
        "n": n_prompts,
        "pairs": n_pairs,
        "one_pair": stats.minimum_detectable_win_rate(n_prompts),
        "all_pairs": stats.minimum_detectable_win_rate(n_prompts, alpha=float(2 * ndtr(-critical_value))),
    }


def _systems(
    scores: Scores,
    block: Block,
    values: Any,
    strata: Any,
    y: Any,
    resamples: stats.Resamples,
    compared: Compared,
    table_of: dict[str, JSON],
) -> list[dict[str, Any]]:
    n_systems = len(block.systems)
    against = _against_others(y, resamples, compared, n_systems)
    table = scores.table.where(scores.table.of_tasks({task for task, _ in block.prompts}))
    system = _numbers(table.systems.names, block.systems)[table.system]
    prompt = _numbers(table.prompts.names, block.prompts)[table.prompt]
    kept = (prompt >= 0) & np.isin(table.repeat, block.repeats)
    invalid = np.bincount(system[kept & table.has_status(INVALID)], minlength=n_systems).tolist()
    errors = np.bincount(system[table.has_status(ERROR)], minlength=n_systems).tolist()
    cell = (system * len(block.prompts) + prompt)[kept]
    compliance = _shares(table.compliance[kept], cell, n_systems, strata)
    copies = _shares(table.copied[kept], cell, n_systems, strata)
    medians, by_category = medians_of(values, strata, block.scale), _by_category(block, values, strata)
    valid = valid_win_rates(values, block.scale, resamples)
    repeated = {MEDIAN_OF: SAMPLES} if values.shape[2] > 1 else {}
    return [
        {
            "system": name,
            **table_of,
            "n": len(block.prompts),
            "repeats": values.shape[2],
            "invalid": invalid[index],
            "errors": errors[index],
            "median": medians[index],
            **repeated,
            "by_category": by_category[index],
            **dict(zip(("compliance", "compliance_interval", "drafts"), compliance[index], strict=True)),
            **dict(zip(("copy_rate", "copy_rate_interval", "drafts_with_references"), copies[index], strict=True)),
            **against[index],
            **({} if valid is None else {"valid_win_rate": valid[index]}),
        }
        for index, name in enumerate(block.systems)
    ]


def _numbers(names: Sequence[Any], wanted: Sequence[Any]) -> Any:
    """Return the index of each name among the wanted ones, -1 if it is none of them."""
    index_of = {name: number for number, name in enumerate(wanted)}
    return np.array([index_of.get(name, -1) for name in names], np.int64)


def _against_others(y: Any, resamples: stats.Resamples, compared: Compared, n_systems: int) -> list[dict[str, JSON]]:
    """Return each system's standing among the others; nulls for a single system, and no rank for a single prompt."""
    if n_systems < 2:
        lone = dict.fromkeys(("mean_win_rate", "mean_win_rate_interval", "bradley_terry", "rank"))
        return [lone] * n_systems
    n_prompts = y.shape[1]
    outcomes = stats.mean_outcomes(y, n_systems)
    means, intervals = outcomes.mean(axis=1), np.transpose(resamples.intervals(outcomes)).tolist()
    strengths = zip(
        stats.bradley_terry(means, n_prompts).tolist(),
        *(ends.tolist() for ends in stats.bradley_terry_interval(outcomes, resamples)),
        strict=True,
    )
    places = zip(*ranks(compared.rates, compared.decided, means), strict=True)
    return [
        {
            "mean_win_rate": float(mean),
            "mean_win_rate_interval": interval,
            "bradley_terry": dict(zip(ENDS, strength, strict=True)),
            "rank": dict(zip(ENDS, rank, strict=True)) if n_prompts > 1 else None,
        }
        for mean, interval, strength, rank in zip(means, intervals, strengths, places, strict=True)
    ]


def _by_category(block: Block, values: Any, strata: Any) -> list[dict[str, JSON]]:
    names = np.asarray(block.categories)
    by_system: list[dict[str, JSON]] = [{} for _ in block.systems]
    for name in dict.fromkeys(block.categories):
        chosen = names == name
        if chosen.any():
            medians = medians_of(values[:, chosen], strata[chosen], block.scale)
            for of_system, median in zip(by_system, medians, strict=True):
                of_system[str(name)] = {"n": int(chosen.sum()), "median": median}
    return by_system


_Share = tuple[float | None, list[float] | None, int]


def _shares(flags: Any, cell: Any, n_systems: int, strata: Any) -> list[_Share]:
    """Return per system the share of drafts for which a flag is true, averaged by prompt; None if no draft has it.

    `flags` are 1, 0, or -1 for unknown; `cell` is each draft's system times the number of prompts, plus its prompt.
    Systems with flags on the same prompts, usually all systems, are computed together, since that is faster.
    """
    shape = (n_systems, len(strata))
    drafts, true = (
        np.bincount(cell[flags >= least], minlength=n_systems * len(strata)).reshape(shape) for least in (0, 1)
    )
    shares: list[_Share] = [(None, None, 0)] * n_systems
    for chosen in np.unique(drafts > 0, axis=0):
        if chosen.any():
            systems = np.flatnonzero(((drafts > 0) == chosen).all(axis=1))
            block = np.ix_(systems, np.flatnonzero(chosen))
            y = true[block] / drafts[block]
            low, high = stats.korn_graubard(y, strata[chosen], LEVEL)
            columns = (y.mean(axis=1), low, high, drafts[block].sum(axis=1))
            for system, share, *ends, number in zip(systems, *(column.tolist() for column in columns), strict=True):
                shares[system] = (share, ends, number)
    return shares

"""results.json: every statistic of a board, each rate and median with its interval and its n."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.agreement import agreement
from popbench.leaderboard.pairs import LEVEL, Compared, compare, contrasts, rounded
from popbench.leaderboard.scores import Block, ScoreRow, Scores, blocks
from popbench.records import JSON

RESAMPLES = 10_000
BOOTSTRAP_SEED = 42
_ENDS = ("value", "low", "high")


def compute(sources: Sequence[Scores], *, common: bool = False) -> dict[str, Any]:
    """Compute a board from one or more predictors' scores of the same systems.

    Raises UsageError for rows that are no scores and for systems on different prompts, unless `common`
    restricts them to the prompts all have; the result says how many were left out.
    """
    results: dict[str, Any] = {
        "schema": 1,
        "demo": any(scores.demo for scores in sources),
        "tasks": [
            {"name": name, **about}
            for name, about in sorted(
                {name: about for scores in sources for name, about in scores.tasks.items()}.items()
            )
        ],
        "predictors": [
            {"name": scores.predictor, "digest": scores.predictor_digest, "unit": scores.unit} for scores in sources
        ],
        "level": LEVEL,
        "resamples": RESAMPLES,
        "restricted_to_common": common,
        "limited": limited(sources),
        "notes": {label: note for scores in sources for label, note in sorted(scores.notes.items())},
        "references": _unique(reference for scores in sources for reference in scores.references),
        "remarks": _unique(remark for scores in sources for remark in scores.remarks),
        "systems": [],
        "pairs": [],
        "enhancement": [],
        "minimum_detectable_win_rate": [],
    }
    found = {scores.predictor: list(blocks(scores, common=common)) for scores in sources}
    for scores in sources:
        for block in found[scores.predictor]:
            _add_block(results, scores, block)
    if len(found) > 1:
        results["agreement"] = list(agreement(found))
    # Pairs are rounded already: there are many of them, and Holm's contrasts are made of the rounded ones.
    return {key: value if key in ("pairs", "enhancement") else rounded(value) for key, value in results.items()}


def _unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def limited(sources: Sequence[Scores]) -> dict[str, list[int]]:
    """Name the tasks of which only some prompts were run: (the fewest prompts of a predictor, prompts of the task)."""
    found: dict[str, list[int]] = {}
    for scores in sources:
        run: dict[str, set[str]] = {}
        for row in scores.rows:
            run.setdefault(row.task, set()).add(row.prompt_id)
        for task, about in scores.tasks.items():
            n, total = len(run.get(task, ())), about.get("prompts")
            if total is not None and n < total:
                found[task] = min(found.get(task, [n, total]), [n, total])
    return dict(sorted(found.items()))


def _add_block(results: dict[str, Any], scores: Scores, block: Block) -> None:
    values = np.asarray(block.values, dtype=np.float64)
    strata = strata_of(block)
    about = {"task": block.name, "predictor": scores.predictor}
    y = stats.pairwise_outcomes(values)
    resamples = stats.Resamples.draw(strata, RESAMPLES, BOOTSTRAP_SEED)
    compared = compare(y, strata, resamples)
    results["systems"] += _systems(scores, block, values, strata, y, resamples, compared, about)
    first, second = np.triu_indices(len(block.systems), 1)
    pairs = [
        {**about, "a": block.systems[a], "b": block.systems[b], **rounded(pair)}
        for a, b, pair in zip(first, second, compared.rows(), strict=True)
    ]
    results["pairs"] += pairs
    results["enhancement"] += contrasts(pairs, scores.modes)
    results["minimum_detectable_win_rate"].append({**about, **detectable(len(block.prompts), len(y))})


def strata_of(block: Block) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the stratum of each prompt, as a number: its category, and its task where tasks are pooled."""
    names = [f"{task}\0{category}" for (task, _), category in zip(block.prompts, block.categories, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def detectable(n_prompts: int, n_pairs: int) -> dict[str, JSON]:
    """Say what this many prompts can find: of one pair, and of this many that are judged together."""
    return {
        "n": n_prompts,
        "pairs": n_pairs,
        "one_pair": stats.minimum_detectable_win_rate(n_prompts),
        "all_pairs": stats.minimum_detectable_win_rate(n_prompts, max(1, n_pairs)),
    }


def _systems(
    scores: Scores,
    block: Block,
    values: Any,
    strata: Any,
    y: Any,
    resamples: stats.Resamples,
    compared: Compared,
    about: dict[str, JSON],
) -> list[dict[str, Any]]:
    against = _against_others(y, resamples, compared, len(block.systems))
    tasks, prompts = {task for task, _ in block.prompts}, set(block.prompts)
    errors: Counter[str] = Counter()
    rows: dict[str, list[ScoreRow]] = {system: [] for system in block.systems}
    for row in scores.rows:
        if row.status == "error" and row.task in tasks:
            errors[row.system] += 1
        if (row.task, row.prompt_id) in prompts and row.repeat in block.repeats:
            rows[row.system].append(row)
    found = []
    for index, system in enumerate(block.systems):
        of_prompts = values[index].mean(axis=1)
        found.append(
            {
                "system": system,
                **about,
                "n": len(block.prompts),
                "repeats": values.shape[2],
                "invalid": sum(row.status == "invalid" for row in rows[system]),
                "errors": errors[system],
                "median": _median(of_prompts, strata),
                "by_category": _by_category(block, of_prompts, strata),
                **_drafts(rows[system], block, strata),
                **against[index],
            }
        )
    return found


def _against_others(y: Any, resamples: stats.Resamples, compared: Compared, n_systems: int) -> list[dict[str, JSON]]:
    """Each system's standing among the others; nulls for a lone one, and no rank from one prompt."""
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
    ranks = zip(
        stats.head_to_head_ranks(compared.rates, n_systems).tolist(),
        *(ends.tolist() for ends in stats.rank_sets(compared.decided, n_systems)),
        strict=True,
    )
    return [
        {
            "mean_win_rate": float(mean),
            "mean_win_rate_interval": interval,
            "bradley_terry": dict(zip(_ENDS, strength, strict=True)),
            "rank": dict(zip(_ENDS, rank, strict=True)) if n_prompts > 1 else None,
        }
        for mean, interval, strength, rank in zip(means, intervals, strengths, ranks, strict=True)
    ]


def _median(values: Any, strata: Any) -> dict[str, float | None]:
    median, low, high = stats.median_interval(values, strata, LEVEL)
    # From all order statistics together, that is from the least to the greatest value, no interval covers more.
    if 0.5 ** (len(values) - 1) > 1 - LEVEL:
        return {"value": median, "low": None, "high": None}
    return {"value": median, "low": low, "high": high}


def _by_category(block: Block, values: Any, strata: Any) -> dict[str, JSON]:
    names = np.asarray(block.categories)
    return {
        str(name): {"n": int(chosen.sum()), "median": _median(values[chosen], strata[chosen])}
        for name in dict.fromkeys(block.categories)
        if (chosen := names == name).any()
    }


def _drafts(rows: Sequence[ScoreRow], block: Block, strata: Any) -> dict[str, JSON]:
    """What is known of the drafts: how many keep every requirement, and how many copy a reference they were shown."""
    compliance, compliance_interval, drafts = _share([(row, row.compliance) for row in rows], block, strata)
    copy_rate, copy_rate_interval, with_references = _share([(row, row.copied) for row in rows], block, strata)
    return {
        "compliance": compliance,
        "compliance_interval": compliance_interval,
        "drafts": drafts,
        "copy_rate": copy_rate,
        "copy_rate_interval": copy_rate_interval,
        "drafts_with_references": with_references,
    }


def _share(
    said: Sequence[tuple[ScoreRow, bool | None]], block: Block, strata: Any
) -> tuple[float | None, list[float] | None, int]:
    """The share of drafts of which something is true, by prompt as everything is; null where no draft says."""
    known: dict[tuple[str, str], list[bool]] = {}
    for row, value in said:
        if value is not None:
            known.setdefault((row.task, row.prompt_id), []).append(value)
    chosen = [index for index, prompt in enumerate(block.prompts) if prompt in known]
    if not chosen:
        return None, None, 0
    shares = (known[block.prompts[index]] for index in chosen)
    y = np.asarray([[sum(drafts) / len(drafts) for drafts in shares]])
    low, high = stats.korn_graubard(y, strata[chosen], LEVEL)
    return float(y.mean()), [float(low[0]), float(high[0])], sum(len(drafts) for drafts in known.values())

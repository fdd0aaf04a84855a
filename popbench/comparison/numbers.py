"""Computes a comparison: win rates of after over before, and each side's statistics on the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popbench import stats
from popbench.cards.card import PredictorCard
from popbench.comparison.compared_pairs import (
    SIDES,
    Matched,
    Pairs,
    Side,
    label,
    match,
    pair_systems,
    read_side,
    shared_predictors,
)
from popbench.comparison.ratio import change_interval
from popbench.errors import UsageError
from popbench.leaderboard.carries import worth
from popbench.leaderboard.families import Role, roles
from popbench.leaderboard.pairs import LEVEL, ONE_PAIR, RESAMPLES, compare, draw, resamples_of, rounded
from popbench.leaderboard.results import compute, detectable, strata_of
from popbench.records import JSON
from popbench.runs.differences import differences
from popbench.scores.scores import Block, Scores, blocks

_OF_SIDE = ("median", "compliance", "compliance_interval", "copy_rate", "copy_rate_interval", "invalid")


def compare_runs(before: Path, after: Path, *, systems: Sequence[str] = (), common: bool = False) -> dict[str, Any]:
    """Compare two runs, or exported scores, system by system; returns JSON values.

    `systems` names the systems to compare, each `ID` or `BEFORE=AFTER`; without it, systems with the same id are
    compared. Everything is paired by task, prompt and repeat. `contrasts` has a row for each pair of systems in each
    table (a task, or a group of tasks), with the fields of `pairs` in results.json for after against before; the
    intervals, verdicts and adjusted p-values of one table hold together, and `families` says which tables are primary,
    whose verdicts all hold together. `before` and `after` in a row are each side's statistics on these prompts. The
    ratio of the medians, or on a real scale their difference, has an interval where there are prompts enough for one.
    Where the predictor has a card, a row has `win_in_truth` and `true_win_rate`, as `carries` in results.json.

    Raises UsageError if one is no finished run or score file, for two versions of a task, two predictors, or demo
    scores against real ones, and, unless `common` leaves their prompts out, if only some systems have a result.
    """
    ours, theirs = read_side(before), read_side(after)
    pairs = pair_systems(ours, theirs, systems)
    if before.resolve() == after.resolve() and any(one == other for one, other in pairs):
        raise UsageError(f"{before} and {after} are the same: there is nothing to compare")
    comparison: dict[str, Any] = {
        "schema": 1,
        "before": str(before),
        "after": str(after),
        "demo": False,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "restricted_to_common": common,
        "systems": [dict(zip(SIDES, pair, strict=True)) for pair in pairs],
        "not_compared": _left_out(ours, theirs, None if systems else pairs),
        "differences": differences(before, after, pairs),
        "predictors": [],
        "contrasts": [],
        "minimum_detectable_win_rate": [],
        "families": [],
    }
    compared = []
    for one, other in shared_predictors(ours, theirs):
        of_side = [set(scores.table.system_names) for scores in (one, other)]
        scored = [pair for pair in pairs if all(system in held for system, held in zip(pair, of_side, strict=True))]
        if scored:
            matched = match(one, other, scored, common=common)
            compared.append((one, other, scored, matched, blocks(matched.both, common=True)))
    of_tables = iter(roles([(matched.both, block) for *_, matched, tables in compared for block in tables]))
    for one, other, scored, matched, tables in compared:
        _add_predictor(comparison, one, other, scored, matched, [(block, next(of_tables)) for block in tables])
    if not comparison["contrasts"]:
        raise UsageError(f"{before} and {after}: no predictor scored both systems of a pair")
    whole: dict[str, Any] = rounded(comparison)
    return whole


def _add_predictor(
    comparison: dict[str, Any],
    one: Scores,
    other: Scores,
    pairs: Pairs,
    matched: Matched,
    tables: Sequence[tuple[Block, Role]],
) -> None:
    named = one if one.predictor_digest != one.predictor else other  # a score file may lack the name
    comparison["predictors"].append(
        {
            "name": named.predictor,
            "digest": named.predictor_digest,
            "unit": named.unit,
            **({"scale": one.scale} if one.scale != "positive" else {}),
        }
    )
    comparison["demo"] = one.demo
    sides = [_of_side(scores) for scores in (matched.before, matched.after)]
    for block, role in tables:
        table_of = {"task": block.name, "predictor": named.predictor}
        card = one.card or other.card
        card = card if card is not None and card["scale"] == block.scale else None
        rows, family = _contrasts(block, pairs, table_of, sides, role, card)
        comparison["resamples"] = min(comparison["resamples"], resamples_of(len(block.prompts)))
        comparison["contrasts"] += rows
        if family:
            comparison["families"].append({**table_of, **family})
        tested, critical_value = family.get("pairs", 0), family.get("critical_value", ONE_PAIR)
        comparison["minimum_detectable_win_rate"].append(
            {**table_of, **detectable(len(block.prompts), tested, critical_value)}
        )


def _left_out(ours: Side, theirs: Side, pairs: Pairs | None) -> dict[str, JSON]:
    """Return each side's tasks, predictors and, unless the user chose them, systems that are not compared."""
    left_out = {}
    compared = {scores.predictor_digest for scores, _ in shared_predictors(ours, theirs)}
    for number, (name, side, other) in enumerate(zip(SIDES, (ours, theirs), (theirs, ours), strict=True)):
        left_out[name] = {
            "systems": sorted(set(side.systems) - {pair[number] for pair in pairs}) if pairs else [],
            "tasks": sorted(side.tasks - other.tasks),
            "predictors": sorted(label for digest, label in side.predictors.items() if digest not in compared),
        }
    return left_out


def _of_side(scores: Scores) -> dict[tuple[str, str], dict[str, JSON]]:
    """Return the statistics of one side, by table and system."""
    return {(row["task"], row["system"]): row for row in compute([scores], common=True)["systems"]}


def _contrasts(
    block: Block,
    pairs: Pairs,
    table_of: Mapping[str, JSON],
    sides: Sequence[Mapping[tuple[str, str], Mapping[str, JSON]]],
    role: Role,
    card: PredictorCard | None,
) -> tuple[list[dict[str, JSON]], dict[str, Any]]:
    """Compare each pair on a block; return rows, and what is said of their family, if any pair is tested.

    A pair with the same scores before and after is not tested, and is left out of the family that the intervals and
    adjusted p-values of the others hold for. (With ties alone no test ever rejects; on leaving out such tests see
    Tarone 1990, Biometrics 46.)
    """
    values = np.asarray(block.values, dtype=np.float64)
    number_of = {system: number for number, system in enumerate(block.systems)}
    met = [values[[number_of[label("after", other)], number_of[label("before", one)]]] for one, other in pairs]
    identical = np.array([bool((two[0] == two[1]).all()) for two in met])
    y = np.concatenate([stats.pairwise_outcomes(two, block.scale) for two in met])
    strata = strata_of(block)
    resamples = draw(strata)
    rows: dict[int, dict[str, JSON]] = {}
    family: dict[str, Any] = {}
    for chosen in (identical, ~identical):
        if chosen.any():
            compared = compare(y[chosen], strata, resamples, repeats=values.shape[2], families=role.tables)
            rows |= zip(np.flatnonzero(chosen).tolist(), compared.rows(), strict=True)
            family = {} if chosen is identical else role.row(compared)
    worths: list[dict[str, JSON]] = [{}] * len(met)
    if card is not None:
        after_all, before_all = np.stack(met, axis=1)
        worths, _ = worth(card, after_all, before_all, block.scale, strata)
    contrasts = []
    for number, (one, other) in enumerate(pairs):
        same = bool(identical[number])
        before, after = (
            {name: side[block.name, system][name] for name in _OF_SIDE}
            for side, system in zip(sides, (one, other), strict=True)
        )
        medians = before["median"]["value"], after["median"]["value"]
        change = {
            "median_ratio": medians[1] / medians[0] if medians[0] and block.scale == "positive" else None,
            **({"median_difference": _difference(*medians)} if block.scale == "real" else {}),
        }
        if any(value is not None for value in change.values()):
            before_first = met[number][::-1]
            interval = change_interval(before_first, block.scale, resamples)
            change |= {f"{name}_interval": interval for name, value in change.items() if value is not None and interval}
        contrasts.append(
            {
                **table_of,
                "systems": {"before": one, "after": other},
                **rows[number],
                **worths[number],
                **({"verdict": None} if same else {}),
                "identical": same,
                "before": before,
                "after": after,
                **change,
            }
        )
    return contrasts, family


def _difference(before: float | None, after: float | None) -> float | None:
    """Return the difference of two medians on a real scale, where a ratio means nothing; None if one has no number."""
    return None if before is None or after is None else after - before

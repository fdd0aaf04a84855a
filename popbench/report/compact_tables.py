"""Makes the compact tables of a page: predictors side by side, the parts of scores, and Kendall's tau of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from popbench.leaderboard.compact import (
    FULL,
    Taus,
    by_predictor,
    counts,
    headlines,
    part_tables,
    part_taus,
    predictor_taus,
    predictors_of,
    taus_told,
    units_of,
)
from popbench.leaderboard.shown import ranked
from popbench.records import parts_of
from popbench.report.numbers import NOTHING, Shown, popularity, rate, tau


def beside(results: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    """Return the tables of a task's predictors, one row a system; None for a single predictor."""
    predictors = predictors_of(results, task)
    if len(predictors) < 2:
        return None
    rows = by_predictor(results["systems"], task, "system")
    first = next(predictor for predictor, name in headlines(results) if name == task)
    systems = list(dict.fromkeys([row["system"] for row in ranked(results, first, task)]))
    systems += sorted({system for of in rows.values() for (system,) in of if system not in systems})
    decided = counts(results, task)
    return {
        "predictors": predictors,
        "units": [f"{predictor}, {unit}" for predictor, unit in units_of(results, predictors)],
        "win_rates": [
            _line(system, [_win_rate(rows[predictor].get((system,))) for predictor in predictors]) for system in systems
        ],
        "medians": [
            _line(
                system,
                [popularity(row["median"]) if (row := rows[of].get((system,))) else NOTHING for of in predictors],
            )
            for system in systems
        ],
        "decided": [decided.get(predictor) for predictor in predictors],
        "matrix": _matrix(*predictor_taus(results, task)),
        "told": taus_told(predictor_taus(results, task)[1]),
    }


def parts(results: Mapping[str, Any], predictor: str, task: str) -> Iterator[dict[str, Any]]:
    """Yield the tables of parts of a view: its predictor's, and those of predictors that have no view."""
    every = len(results["predictors"]) <= FULL
    for name, part_names, rows in part_tables(results, task):
        if every and name != predictor:
            continue
        order = ranked(results, name, task)
        yield {
            "predictor": name,
            "names": part_names,
            "n": order[0]["n"],
            "rows": [
                _line(row["system"], [_part(rows.get((row["system"], part)), row["n"]) for part in part_names])
                for row in order
            ],
            "matrix": _matrix(*part_taus(results, name, task, "score")),
            "told": taus_told(part_taus(results, name, task, "score")[1]),
        }


def _line(system: str, cells: Sequence[Shown]) -> dict[str, Any]:
    return {"parts": parts_of(system) or (system, "", ""), "cells": cells}


def _win_rate(row: Mapping[str, Any] | None) -> Shown:
    return NOTHING if row is None else rate(row["mean_win_rate"], row["mean_win_rate_interval"])


def _part(row: Mapping[str, Any] | None, usual: int) -> Shown:
    """Show a part's median; with its own n where some answers lack the part."""
    if row is None:
        return NOTHING
    shown = popularity(row["median"])
    return shown if row["n"] == usual else Shown(shown.value, f"{shown.interval} n = {row['n']}")


def _matrix(names: Sequence[str], taus: Taus) -> list[tuple[str, list[Shown | None]]]:
    """Return the matrix of Kendall's tau, None on its diagonal; nothing for two orders, of which a sentence tells."""
    if len(names) < 3:
        return []
    return [(name, [None if other == name else tau(taus.get((name, other))) for other in names]) for name in names]

"""Writes the compact tables of a board as GitHub markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from popbench.leaderboard.compact import (
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
from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.shown import median_interval, ranked, rate_interval, tau_shown

Row = Mapping[str, Any]


def side_by_side(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables of all predictors, one row a system; none for a single predictor."""
    if len(results["predictors"]) < 2:
        return
    yield "## All predictors"
    yield ""
    yield (
        "The full boards above are by the first predictor; these tables have one row a system, in the order of those. "
        "Pairs and categories by the other predictors are in the JSON file beside this board."
    )
    yield ""
    for first, task in headlines(results):
        predictors = predictors_of(results, task)
        if len(predictors) < 2:
            continue
        yield f"### {escaped(task)}"
        yield ""
        rows = by_predictor(results["systems"], task, "system")
        systems = [(row["system"],) for row in ranked(results, first, task)]
        systems += [system for of in rows.values() for system in of if system not in systems]
        head = [_head(predictor, rows[predictor], rows[first]) for predictor in predictors]
        decided = counts(results, task)
        yield from _table("Mean win rate, %", head, systems, predictors, rows, _win_rate, decided)
        units = [f"{escaped(predictor)}, {escaped(unit)}" for predictor, unit in units_of(results, predictors)]
        yield from _table("Median", units, systems, predictors, rows, lambda row: median_interval(row["median"]))
        contrasts = by_predictor(results["enhancement"], task, "llm", "mode", "generator")
        pairs = list(dict.fromkeys(pair for of in contrasts.values() for pair in of))
        yield from _table("Win rate over basic, %", head, pairs, predictors, contrasts, _over_basic)
        yield from _matrix("Kendall's tau between the orders of the systems", *predictor_taus(results, task))


def _head(predictor: str, rows: Mapping[Any, Row], first: Mapping[Any, Row]) -> str:
    n, usual = (next(iter(of.values()))["n"] for of in (rows, first))
    return escaped(predictor) if n == usual else f"{escaped(predictor)} (n = {n})"


def _win_rate(row: Row) -> str:
    return rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"])


def _over_basic(row: Row) -> str:
    rate = row["win_rate"]
    shown = rate_interval(rate["value"], (rate["low"], rate["high"]))
    return f"**{shown}**" if row["verdict"] in ("better", "worse") else shown


def _table(
    title: str,
    head: Sequence[str],
    keys: Sequence[tuple[str, ...]],
    predictors: Sequence[str],
    rows: Mapping[str, Mapping[Any, Row]],
    shown: Callable[[Row], str],
    decided: Mapping[str, tuple[int, int]] | None = None,
) -> Iterator[str]:
    """Yield a table with a row for each key and a column for each predictor; none without keys."""
    if not keys:
        return
    of_predictors = [rows.get(predictor, {}) for predictor in predictors]
    body = [[escaped("|".join(key)), *(shown(of[key]) if key in of else "–" for of in of_predictors)] for key in keys]
    if decided:
        cells = (decided.get(predictor) for predictor in predictors)
        body.append(["*pairs decided*", *("–" if cell is None else f"{cell[0]} of {cell[1]}" for cell in cells)])
    yield from table([title, *head], "l" + "r" * len(predictors), body)
    yield ""


def _matrix(title: str, names: Sequence[str], taus: Taus) -> Iterator[str]:
    """Yield the matrix of Kendall's tau; for two orders there is a sentence instead."""
    if len(names) < 3:
        return
    body = [
        [f"{place} {escaped(name)}", *(_tau(taus.get((name, other))) if other != name else "" for other in names)]
        for place, name in enumerate(names, 1)
    ]
    yield from table([title, *map(str, range(1, len(names) + 1))], "l" + "r" * len(names), body)
    yield ""
    yield taus_told(taus)
    yield ""


def _tau(row: Row | None) -> str:
    return "–" if row is None else tau_shown(row)


def parts(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables of parts: of the full boards' predictors on all tasks, of others on the first."""
    if not results.get("parts"):
        return
    yield "## Parts of the scores"
    yield ""
    yield (
        "Medians with Woodruff intervals, of the prompts' median repeats; invalid samples rank below every number. "
        "Parts rank nothing: ranks and verdicts are those of the score."
    )
    yield ""
    full = headlines(results)
    for place, (first, task) in enumerate(full):
        for predictor, names, rows in part_tables(results, task):
            if place and predictor != first:
                continue
            order = ranked(results, predictor, task)
            usual = order[0]["n"]
            yield f"**{escaped(task)}, predictor {escaped(predictor)}**, n = {usual}"
            yield ""
            body = [
                [escaped(row["system"]), *(_part(rows.get((row["system"], name)), usual) for name in names)]
                for row in order
            ]
            yield from table(["System", *map(escaped, names)], "l" + "r" * len(names), body)
            yield ""
            if place == 0 and predictor == first:
                title = "Kendall's tau between the orders of the systems"
                yield from _matrix(title, *part_taus(results, predictor, task, "score"))


def _part(row: Row | None, usual: int) -> str:
    if row is None:
        return "–"
    fewer = f" (n = {row['n']})" if row["n"] != usual else ""
    return median_interval(row["median"]) + fewer

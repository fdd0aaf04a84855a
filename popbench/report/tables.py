"""Makes the tables of the views, each one predictor's scores on one task or group, for the templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Any

from popbench.leaderboard.carries_text import carries_view
from popbench.leaderboard.compact import FULL, headlines
from popbench.leaderboard.families import p_words, role_words
from popbench.leaderboard.luck_text import luck_view
from popbench.leaderboard.markdown import decided, decides, knows_copies, prompts_of
from popbench.leaderboard.medians import MEDIAN_OF
from popbench.leaderboard.pairs import flipped
from popbench.leaderboard.panel_text import panel_view
from popbench.leaderboard.people_text import by_pair, people_rate, people_view
from popbench.leaderboard.reference import against, reference_of
from popbench.leaderboard.shown import knows_valid, p_value, percent, ranked, scale_of, tables, valid_rate
from popbench.leaderboard.words import estimand
from popbench.records import Scale, parts_of
from popbench.report.compact_tables import beside, parts
from popbench.report.numbers import NOTHING, Shown, brackets, log_odds, popularity, rank, rate, win_rate
from popbench.text import counted

_SHORT = 16
"""Characters of a system's id that the head of a column has room for."""
MATRIX_LIMIT = 40
"""Systems in the matrix of pairs, at most."""

_Row = Mapping[str, Any]

WORDS = {
    "better": "better: decided by this predictor, with all pairs of this table taken together",
    "worse": "worse: decided by this predictor, with all pairs of this table taken together",
    "undecided": "undecided: the interval over all pairs of this table holds 50 %",
    None: "no verdict: fewer than 10 prompts",
}


def views(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the views of a page, in the order of the results: groups first.

    They are of every predictor, of more than `FULL` only those of the first one; the others are in compact tables.
    """
    every = len(results["predictors"]) <= FULL
    return [_view(results, predictor, task) for predictor, task in (tables if every else headlines)(results)]


def _view(results: Mapping[str, Any], predictor: str, task: str) -> dict[str, Any]:
    rows = ranked(results, predictor, task)
    pairs = [pair for pair in results["pairs"] if (pair["predictor"], pair["task"]) == (predictor, task)]
    sides = _both_sides(pairs) if len(rows) <= MATRIX_LIMIT else []
    contrasts = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    unit = next((item["unit"] for item in results["predictors"] if item["name"] == predictor), "popularity")
    scale = scale_of(results, predictor)
    reference = reference_of(results, predictor, task)
    over = against(results, predictor, task, reference) if reference else {}
    people = by_pair(results, predictor, task)
    return {
        "predictor": predictor,
        "task": task,
        "unit": unit,
        "scale": scale,
        "n": rows[0]["n"],
        "repeats": rows[0].get("repeats", 1),
        "means": MEDIAN_OF not in rows[0],
        "decides": " ".join(filter(None, [of(results, predictor, task) for of in (decided, role_words, decides)])),
        "of_p": p_words(results),
        "sequential": "sequential" in results,
        "verdicts": any(pair["verdict"] is not None for pair in pairs),
        "copies": knows_copies(rows),
        "valid": knows_valid(rows),
        "reference": reference,
        "reference_shown": reference if reference and len(reference) <= _SHORT else "reference",
        "estimand": estimand(reference) if pairs else "",
        "rows": [_row(position, row, over.get(row["system"])) for position, row in enumerate(rows, 1)],
        "ranked": any(row["rank"] is not None for row in rows),
        "matrix": _matrix(rows, sides, people),
        "too_large": len(rows) > MATRIX_LIMIT,
        "n_pairs": len(pairs),
        "sides": [_told(side) for side in sides],
        "contrasts": [_contrast(row, people.get((row["a"], row["b"]))) for row in contrasts],
        "categories": _categories(rows, scale),
        "beside": beside(results, task),
        "parts": list(parts(results, predictor, task)),
        "luck": luck_view(results, predictor, task),
        "carries": carries_view(results, predictor, task),
        "panel": panel_view(results, task),
        "people": people_view(results, predictor, task),
        "people_marked": bool(people),
    }


def _row(position: int, row: Mapping[str, Any], over: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "place": position,
        "system": row["system"],
        "parts": parts_of(row["system"]) or (row["system"], "", ""),
        "rank": rank(row["rank"]),
        "win_rate": rate(row["mean_win_rate"], row["mean_win_rate_interval"]),
        "over": NOTHING if over is None else rate(over["value"], (over["low"], over["high"])),
        "median": popularity(row["median"]),
        "strength": log_odds(row["bradley_terry"]),
        "compliance": rate(row["compliance"], row["compliance_interval"]),
        "copies": rate(row["copy_rate"], row["copy_rate_interval"]),
        "valid": Shown(*valid_rate(row)),
        **{name: row[name] for name in ("n", "invalid", "errors", "drafts", "drafts_with_references")},
    }


def _both_sides(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every pair, each followed by its reverse."""
    return [side for pair in pairs for side in (pair, flipped(pair))]


def _matrix(
    rows: Sequence[Mapping[str, Any]], sides: Sequence[Mapping[str, Any]], people: Mapping[tuple[str, str], _Row]
) -> list[list[dict[str, Any]]] | None:
    """Return the cells of row over column, in the order of the rows; None for a single row, or too many."""
    if not 2 <= len(rows) <= MATRIX_LIMIT:
        return None
    cells = {
        (side["a"], side["b"]): _cell(side, number, people.get((side["a"], side["b"])))
        for number, side in enumerate(sides)
    }
    names = [row["system"] for row in rows]
    return [[cells.get((a, b), {"kind": "self" if a == b else "none"}) for b in names] for a in names]


def _cell(side: Mapping[str, Any], number: int, people: _Row | None) -> dict[str, Any]:
    """Return a cell: with labels, of what people say."""
    verdict, of = (side["verdict"], side["win_rate"]) if people is None else (people["verdict"], people["corrected"])
    decided = verdict in ("better", "worse")
    return {
        "kind": verdict[0] + str(_step(of["value"])) if decided else "open",
        "rate": rate(of["value"], (of["low"], of["high"])),
        "pair": number,
        "verdict": verdict or "no verdict",
        "people": "" if people is None else _told_of_people(people),
    }


def _step(value: float) -> int:
    """Return the step of colour, 1 to 4, of a decided win rate, by its distance from one half."""
    return 1 + sum(abs(value - 0.5) >= edge for edge in (0.1, 0.2, 0.35))


def _told(side: Mapping[str, Any]) -> list[Any]:
    """Return the values in a cell's tooltip, in the order that matrix.js expects."""
    of = side["win_rate"]
    return [
        side["a"], side["b"], percent(of["value"]), brackets((of["low"], of["high"])), brackets(of["exact"]),
        brackets(of["simultaneous"]), side["wins"], side["ties"], side["losses"], side["n"], p_value(side["p"]),
        p_value(side["p_adjusted"]), side["verdict"],
    ]  # fmt: skip


def _told_of_people(row: _Row) -> str:
    """Return the lines above those in a cell's tooltip."""
    verdict = {None: "no verdict", "undecided": "undecided"}.get(row["verdict"], f"the row is {row['verdict']}")
    kind = "vote" if "voters" in row else "comparison"
    return "\n".join(
        (
            f"By people, {verdict}: {people_rate(row, 'corrected')} %, corrected (over all pairs with labels "
            f"{brackets(row['corrected']['simultaneous'])}); {people_rate(row, 'labels')} % from labels only.",
            f"{counted(row['count'], kind)} on {counted(row['labelled'], 'prompt')}.",
        )
    )


def _contrast(row: Mapping[str, Any], people: _Row | None) -> dict[str, Any]:
    return {
        "people": None if people is None else (people_rate(people, "corrected"), people["verdict"] or "–"),
        **{name: row[name] for name in ("llm", "mode", "generator", "wins", "ties", "losses", "n", "verdict")},
        "rate": win_rate(row),
        "exact": brackets(row["win_rate"]["exact"]),
        "p": p_value(row["p"]),
        "p_adjusted": p_value(row["p_adjusted"]),
        "told": WORDS.get(row["verdict"], ""),
    }


def _categories(rows: Sequence[Mapping[str, Any]], scale: Scale) -> dict[str, Any] | None:
    names = list(rows[0]["by_category"])
    if len(names) < 2:
        return None
    of_all = [median_of_category["median"] for row in rows for median_of_category in row["by_category"].values()]
    places = [place for median in of_all if (place := _place(median, scale)) is not None]
    ends = (min(places, default=0), max(places, default=0))
    return {
        "names": [(name, prompts_of(rows, name)) for name in names],
        "rows": [(row["system"], list(_medians(row["by_category"], names, ends, scale))) for row in rows],
    }


TINT = 34
"""Percent of colour behind the highest median in a table of categories."""


def _medians(
    by_category: Mapping[str, Any], names: Sequence[str], ends: tuple[float, float], scale: Scale
) -> Iterator[tuple[Shown, int]]:
    """Yield each category's median, and its tint: its place between the ends of the table."""
    low, high = ends
    for name in names:
        place = _place(by_category[name]["median"], scale) if name in by_category else None
        part = (place - low) / (high - low) if place is not None and high > low else 0
        yield popularity(by_category[name]["median"]) if name in by_category else NOTHING, round(TINT * part)


def _place(median: Mapping[str, Any], scale: Scale) -> float | None:
    """Return the place of a median on an axis, logarithmic unless the scale is real; None for one without a place."""
    value: float | None = median["value"]
    if scale == "real" or value is None:
        return value
    return log(value) if value else None

"""What a board shows in compact tables: predictors after the first, side by side, and the parts of scores.

Each task has one full board, that of the first predictor that scored it: nineteen of them would hide what there is to
see. results.json has the same statistics of all predictors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
FULL = 3
"""The most predictors of which a page, where readers choose one, has all tables."""


def headlines(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (predictor, task) of the full boards, one for each task, in the order of the results."""
    first: dict[str, str] = {}
    for row in results["systems"]:
        first.setdefault(row["task"], row["predictor"])
    return [(predictor, task) for task, predictor in first.items()]


def predictors_of(results: Mapping[str, Any], task: str) -> list[str]:
    """Return the predictors that have a table of a task, that of the full board first."""
    return list(dict.fromkeys(row["predictor"] for row in results["systems"] if row["task"] == task))


def units_of(results: Mapping[str, Any], predictors: Sequence[str]) -> list[tuple[str, str]]:
    """Return the predictors, each with the unit of its scores."""
    unit_of = {item["name"]: item["unit"] for item in results["predictors"]}
    return [(predictor, unit_of[predictor]) for predictor in predictors]


def by_predictor(rows: Sequence[Row], task: str, *names: str) -> dict[str, dict[Any, Row]]:
    """Return rows of a task by predictor, and within by what these columns hold: its system, or the two of a pair."""
    found: dict[str, dict[Any, Row]] = {}
    for row in rows:
        if row["task"] == task:
            found.setdefault(row["predictor"], {})[tuple(row[name] for name in names)] = row
    return found


def counts(results: Mapping[str, Any], task: str) -> dict[str, tuple[int, int]]:
    """Return by predictor how many of the pairs of a task are decided, and how many there are."""
    found: dict[str, tuple[int, int]] = {}
    for pair in results["pairs"]:
        if pair["task"] == task:
            decided, pairs = found.get(pair["predictor"], (0, 0))
            found[pair["predictor"]] = (decided + (pair["verdict"] in ("better", "worse")), pairs + 1)
    return found


def part_tables(results: Mapping[str, Any], task: str) -> Iterator[tuple[str, list[str], dict[tuple[str, str], Row]]]:
    """Yield the predictors with parts on a task: the predictor, its parts, and rows by (system, part)."""
    for predictor in predictors_of(results, task):
        rows = [row for row in results.get("parts", []) if (row["predictor"], row["task"]) == (predictor, task)]
        if rows:
            yield (
                predictor,
                list(dict.fromkeys(row["part"] for row in rows)),
                {(row["system"], row["part"]): row for row in rows},
            )


_INTERVALS = "Brackets hold 95 % intervals."
Taus = dict[tuple[str, str], Row | None]


def predictor_taus(results: Mapping[str, Any], task: str) -> tuple[list[str], Taus]:
    """Return the predictors of a task, and the agreement of every two of them, both ways round; None without a tau."""
    rows = [row for row in results.get("agreement", []) if row["task"] == task]
    return predictors_of(results, task), _both_ways((row["a"], row["b"], row) for row in rows)


def part_taus(results: Mapping[str, Any], predictor: str, task: str, score: str) -> tuple[list[str], Taus]:
    """Return the score, which is called `score`, and its parts, and the agreement of every two of them.

    Nothing where they are too many, and each part is compared with the score alone.
    """
    rows = [row for row in results.get("part_agreement", []) if (row["predictor"], row["task"]) == (predictor, task)]
    taus = [(score if row["a"] is None else row["a"], row["b"], row) for row in rows]
    names = list(dict.fromkeys(name for a, b, _ in taus for name in (a, b)))
    whole = len(taus) == len(names) * (len(names) - 1) // 2
    return (names, _both_ways(iter(taus))) if whole else ([], {})


def taus_told(taus: Taus) -> str:
    """Return a sentence about the brackets in a matrix of taus; results of earlier versions have intervals there."""
    counted = any(row and "decided" in row for row in taus.values())
    return "In brackets: of the pairs that both decide, how many they decide alike." if counted else _INTERVALS


def _both_ways(taus: Iterator[tuple[str, str, Row]]) -> Taus:
    return {pair: row if row["tau"] else None for a, b, row in taus for pair in ((a, b), (b, a))}

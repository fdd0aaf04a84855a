"""Writes the matrix of a board's win rates as GitHub markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from popbench.leaderboard.markup import escaped, table
from popbench.leaderboard.pairs import flipped
from popbench.leaderboard.people_text import by_pair, people_rate
from popbench.leaderboard.shown import rate_interval

MATRIX_LIMIT = 20
PEOPLE = "†"
"""The mark of win rates over people among those by a predictor."""


def matrix(results: Mapping[str, Any], predictor: str, task: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the table of the win rates of row over column, numbered as in the table above."""
    if len(rows) < 2:
        return
    if len(rows) > MATRIX_LIMIT:
        yield f"The win rates of all {len(rows) * (len(rows) - 1) // 2} pairs are in the JSON file beside this board."
        yield ""
        return
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in results["pairs"]:
        if (pair["predictor"], pair["task"]) == (predictor, task):
            pairs[pair["a"], pair["b"]] = pair
    which = "interval that holds wherever the run stops" if "sequential" in results else "bootstrap interval"
    decided_ones = "bold where the pair is decided by this predictor"
    people = by_pair(results, predictor, task)
    corrected = f"; {PEOPLE}: corrected win rate over people, bold where they decide" if people else ""
    yield f"**Win rates, %**: row over column, ties half, with the {which}; {decided_ones}{corrected}."
    yield ""
    positions = range(1, len(rows) + 1)
    body = []
    for position, row in zip(positions, rows, strict=True):
        cells = [_cell(pairs, people, row["system"], other["system"]) for other in rows]
        body.append([f"{position} {escaped(row['system'])}", *cells])
    yield from table(["", *map(str, positions)], "l" + "r" * len(rows), body)
    yield ""


def _cell(
    pairs: Mapping[tuple[str, str], dict[str, Any]], people: Mapping[tuple[str, str], Mapping[str, Any]], a: str, b: str
) -> str:
    if (a, b) in people:
        of = people[a, b]
        shown = people_rate(of, "corrected")
        return f"**{shown}** {PEOPLE}" if of["verdict"] in ("better", "worse") else f"{shown} {PEOPLE}"
    pair = pairs.get((a, b)) or (flipped(pairs[b, a]) if (b, a) in pairs else None)
    if pair is None:
        return ""
    rate = pair["win_rate"]
    shown = rate_interval(rate["value"], (rate["low"], rate["high"]))
    return f"**{shown}**" if pair["verdict"] in ("better", "worse") else shown

"""Shows what people say of a board's pairs on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popbench.leaderboard.compact import headlines
from popbench.leaderboard.people import KEY
from popbench.leaderboard.people_text import (
    MEDIANS,
    cells,
    meaning,
    median_title,
    medians_of,
    notes,
    opposites,
    people_rate,
    remarks,
    sources_of,
    title,
)
from popbench.leaderboard.plain_tables import plain_table, system_text

_RATES = ("predicted", "labels", "corrected")
_SHOWN = {"predicted": "predicted", "labels": "labels only", "corrected": "corrected"}


def people_tables(results: Mapping[str, Any], predictor: str | None, task: str, width: int) -> Iterator[Table | Text]:
    """Yield a table for each source that says something of a table of the board, each followed by its notes."""
    kept = _RATES if predictor is not None else ("labels",)
    for source, rows in sources_of(results, predictor, task):
        name = title(source, rows)
        table = plain_table(
            f"{task}: {name[0].lower()}{name[1:]}",
            [("pair", "l"), ("prompts", "r"), ("", "l"), ("win rate, %", "r"), ("", "l")],
        )
        for row, line in zip(rows, cells(results, rows), strict=True):
            verdicts = {"predicted": line[-1], "labels": "", "corrected": line[-2]}
            table.add_row(
                Text.assemble(system_text(row["a"], width), "\nover ", system_text(row["b"], width)),
                Text(line[1]),
                Text("\n".join(_SHOWN[of] for of in kept)),
                Text("\n".join(people_rate(row, of) for of in kept)),
                Text("\n".join(verdicts[of] for of in kept)),
            )
        yield table
        for told in notes(results, rows):
            yield Text(told, style="dim")
        yield Text()
    if medians := medians_of(results, predictor, task):
        columns = list(zip(map(str.lower, MEDIANS), "lrrr", strict=True))
        table = plain_table(f"{task}: {median_title(results).lower()}", columns)
        for line in medians:
            table.add_row(system_text(line[0], width), *map(Text, line[1:]))
        yield table
    for told in opposites(results, predictor, task):
        yield Text(told)


def show_people(results: Mapping[str, Any], console: Console) -> None:
    """Print what people say of the pairs of a run, by the tables of its board, and what was left out."""
    of_board = headlines(results) if "systems" in results else []
    rows = [*results[KEY]["pairs"], *results[KEY].get("medians", [])]
    alone = [(None, row["task"]) for row in rows if row["predictor"] is None]
    for predictor, task in of_board or dict.fromkeys(alone):
        for shown in people_tables(results, predictor, task, console.width):
            console.print(shown)
    for line in (*meaning(results), *remarks(results)):
        console.print(Text(line))

"""A board as rich tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from popbench.audit.words import verdict
from popbench.leaderboard.markdown import (
    agreements,
    decides,
    knows_copies,
    median_interval,
    p_value,
    percent,
    ranked,
    rate_interval,
    remarks,
    tables,
)


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print every table of a board with what it can decide, then how predictors agree and what moves the scores."""
    for predictor, task in tables(results):
        console.print(_ranking(results, predictor, task))
        contrasts = _contrasts(results, predictor, task)
        if contrasts is not None:
            console.print(contrasts)
        console.print(Text(decides(results, predictor, task), style="dim"))
        console.print()
    for line in agreements(results):
        console.print(Text(line))
    for entry in results.get("audit") or []:
        console.print(Text(f"Audit of predictor {entry['predictor']}: {verdict(entry)}"))
    for remark in remarks(results):
        console.print(Text(remark))
    if results["demo"]:
        console.print(
            Text("Demo scores: they show that the machinery works and say nothing about real popularity.", "yellow")
        )


def plain_table(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    """Return an empty table; each column has a name, and a side: l or r."""
    table = Table(title=Text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, side in columns:
        table.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold", no_wrap=side == "r")
    return table


def _ranking(results: Mapping[str, Any], predictor: str, task: str) -> Table:
    unit = next(item["unit"] for item in results["predictors"] if item["name"] == predictor)
    demo = " (demo)" if results["demo"] else ""
    rows = ranked(results, predictor, task)
    copies = knows_copies(rows)
    table = plain_table(
        f"{task}, n = {rows[0]['n']}: {unit} by predictor {predictor}{demo}, 95 % intervals",
        [
            ("system", "l"),
            ("win rate, %", "r"),
            (f"median {unit}", "r"),
            ("inv/err", "r"),
            ("compl.", "r"),
            *([("copies", "r")] if copies else []),
        ],
    )
    for row in rows:
        table.add_row(
            Text(row["system"]),
            Text(rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"])),
            Text(median_interval(row["median"])),
            f"{row['invalid']}/{row['errors']}",
            percent(row["compliance"]),
            *([percent(row["copy_rate"])] if copies else []),
        )
    return table


def _contrasts(results: Mapping[str, Any], predictor: str, task: str) -> Table | None:
    rows = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    if not rows:
        return None
    table = plain_table(
        f"{task}: prompt enhancement against basic",
        [("system", "l"), ("win rate, %", "r"), ("wins", "r"), ("ties", "r"), ("losses", "r"), ("p", "r")],
    )
    for row in rows:
        rate = row["win_rate"]
        table.add_row(
            Text(row["a"]),
            Text(rate_interval(rate["value"], (rate["low"], rate["high"]))),
            *(str(row[name]) for name in ("wins", "ties", "losses")),
            p_value(row["p"]),
        )
    return table

"""A board as rich tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from popbench.leaderboard.markdown import (
    decides,
    median_interval,
    p_value,
    ranked,
    rate_interval,
    tables,
)


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print every table of a board: ranking, then prompt enhancement against basic."""
    for predictor, task in tables(results):
        console.print(_ranking(results, predictor, task))
        contrasts = _contrasts(results, predictor, task)
        if contrasts is not None:
            console.print(contrasts)
        console.print(Text(decides(results, task), style="dim"))
        console.print()
    if results["demo"]:
        console.print(
            Text(
                "Demo scores: they show that the machinery works and say nothing about real popularity.",
                style="yellow",
            )
        )


def _ranking(results: Mapping[str, Any], predictor: str, task: str) -> Table:
    unit = next(item["unit"] for item in results["predictors"] if item["name"] == predictor)
    demo = " (demo)" if results["demo"] else ""
    rows = ranked(results, predictor, task)
    table = Table(title=f"{task}: popularity by {predictor}{demo}, n = {rows[0]['n']}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("system", overflow="fold")
    table.add_column("mean win rate, %", justify="right")
    table.add_column(f"median {unit}", justify="right")
    table.add_column("invalid", justify="right")
    table.add_column("errors", justify="right")
    table.add_column("compliance, %", justify="right")
    for place, row in enumerate(rows, 1):
        table.add_row(
            str(place),
            Text(row["system"]),
            rate_interval(row["mean_win_rate"], row["mean_win_rate_interval"]).replace("[", "\\["),
            median_interval(row["median"]).replace("[", "\\["),
            str(row["invalid"]),
            str(row["errors"]),
            rate_interval(row["compliance"], row["compliance_interval"]).replace("[", "\\["),
        )
    return table


def _contrasts(results: Mapping[str, Any], predictor: str, task: str) -> Table | None:
    rows = [row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)]
    if not rows:
        return None
    table = Table(title=f"{task}: prompt enhancement against basic", title_justify="left")
    table.add_column("system", overflow="fold")
    table.add_column("win rate over basic, %", justify="right")
    table.add_column("wins / ties / losses", justify="right")
    table.add_column("p", justify="right")
    for row in rows:
        rate = row["win_rate"]
        table.add_row(
            Text(row["a"]),
            rate_interval(rate["value"], (rate["low"], rate["high"])).replace("[", "\\["),
            f"{row['wins']} / {row['ties']} / {row['losses']}",
            p_value(row["p"]),
        )
    return table

"""Shows a comparison as tables on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from popbench.leaderboard.families import role_words
from popbench.leaderboard.markdown import decides
from popbench.leaderboard.pairs import FEWEST_FOR_VERDICTS
from popbench.leaderboard.plain_tables import plain_table, system_text
from popbench.leaderboard.shown import median_interval, number, p_value, pair_rate, percent, rate_interval, scale_of
from popbench.text import counted

_ARROW = " → "
_FITS = 24
"""Characters of an id that a table has room for on 80 columns: it stays as --system takes it."""


def show(comparison: Mapping[str, Any], console: Console) -> None:
    """Print the two runs and their differences, then each table with its verdicts and its detectable win rate."""
    for line in (f"before: {comparison['before']}", f"after:  {comparison['after']}"):
        console.print(Text(line), soft_wrap=True)
    _show_differences(comparison, console)
    _show_left_out(comparison["not_compared"], console)
    console.print()
    for predictor, task in dict.fromkeys((row["predictor"], row["task"]) for row in comparison["contrasts"]):
        rows = [row for row in comparison["contrasts"] if (row["predictor"], row["task"]) == (predictor, task)]
        changed = [row for row in rows if not row["identical"]]
        console.print(_contrasts(comparison, rows, predictor, task, console.width))
        if changed:
            console.print(_sides(comparison, changed, predictor, task, console.width))
        console.print(Text(_summary(rows), style="bold"))
        if changed:
            for sentence in (role_words(comparison, predictor, task), decides(comparison, predictor, task)):
                if sentence:
                    console.print(Text(sentence, style="dim"))
        console.print()
    if comparison["restricted_to_common"]:
        console.print(Text("Restricted to the prompts that all compared systems have in both runs."))
    if comparison["demo"]:
        console.print(
            Text("Demo scores: they show that the machinery works and say nothing about real popularity.", "yellow")
        )


def _show_differences(comparison: Mapping[str, Any], console: Console) -> None:
    if not comparison["differences"]:
        though = "" if all(row["identical"] for row in comparison["contrasts"]) else ", and yet scores do"
        what = "nothing that runs record (components, options, seed, versions)"
        console.print(Text(f"What differs: {what}{though}"))
        return
    console.print(Text("What differs:"))
    for line in comparison["differences"]:
        console.print(Padding(Text(line), (0, 0, 0, 2)))


def _show_left_out(left_out: Mapping[str, Mapping[str, Sequence[str]]], console: Console) -> None:
    for side, kinds in left_out.items():
        parts = [f"{counted(len(names), kind[:-1])} ({', '.join(names)})" for kind, names in kinds.items() if names]
        if parts:
            console.print(Text(f"Not compared, only {side}: {'; '.join(parts)}"))


def _contrasts(
    comparison: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], predictor: str, task: str, width: int
) -> Table:
    demo = " (demo)" if comparison["demo"] else ""
    many = sum(not row["identical"] for row in rows) > 1
    carried = any("true_win_rate" in row for row in rows)
    table = plain_table(
        f"{task}, n = {rows[0]['n']}, predictor {predictor}{demo}, 95 % intervals",
        [
            ("system", "l"),
            ("win rate after, %", "r"),
            *([("true, by card, %", "r")] if carried else []),
            ("verdict", "l"),
            ("W/T/L", "r"),
            ("p", "r"),
            *([("adjusted", "r")] if many else []),
        ],
    )
    for row in rows:
        rate = row["win_rate"]
        table.add_row(
            system_text(_system(row), width, _FITS),
            Text(rate_interval(rate["value"], (rate["low"], rate["high"]))),
            *([pair_rate(row.get("true_win_rate"))] if carried else []),
            Text(_verdict(row), style={"better": "green", "worse": "red"}.get(row["verdict"] or "", "")),
            f"{row['wins']}/{row['ties']}/{row['losses']}",
            p_value(row["p"]),
            *([p_value(row["p_adjusted"])] if many else []),
        )
    return table


def _sides(
    comparison: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], predictor: str, task: str, width: int
) -> Table:
    unit = next(item["unit"] for item in comparison["predictors"] if item["name"] == predictor)
    real = scale_of(comparison, predictor) == "real"
    copies = any(row[side]["copy_rate"] is not None for row in rows for side in ("before", "after"))
    table = plain_table(
        f"{task}: before{_ARROW}after",
        [
            ("system", "l"),
            (f"median {unit}", "r"),
            ("difference" if real else "ratio", "r"),
            ("invalid", "r"),
            ("compl., %", "r"),
            *([("copies, %", "r")] if copies else []),
        ],
    )
    for row in rows:
        before, after = row["before"], row["after"]
        ratio = row["median_difference" if real else "median_ratio"]
        table.add_row(
            system_text(_system(row), width, _FITS),
            Text(f"{median_interval(before['median'])}\n→ {median_interval(after['median'])}"),
            _change(ratio, row.get("median_difference_interval" if real else "median_ratio_interval")),
            _both(str(before["invalid"]), str(after["invalid"])),
            _both(percent(before["compliance"]), percent(after["compliance"])),
            *([_both(percent(before["copy_rate"]), percent(after["copy_rate"]))] if copies else []),
        )
    return table


def _change(value: float | None, interval: Sequence[float | None] | None) -> str:
    """Return a ratio or a difference, and below it its interval; an end without a bound is left open."""
    if value is None:
        return "–"
    if interval is None:
        return number(value)
    low, high = ("…" if end is None else number(end) for end in interval)
    return f"{number(value)}\n[{low}, {high}]"


def _system(row: Mapping[str, Any]) -> str:
    before, after = row["systems"]["before"], row["systems"]["after"]
    return before if before == after else f"{before}{_ARROW}{after}"


def _both(before: str, after: str) -> str:
    return before if before == after else f"{before}{_ARROW}{after}"


def _verdict(row: Mapping[str, Any]) -> str:
    return "identical" if row["identical"] else row["verdict"] or "–"


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence with the number of verdicts of each kind in a table."""
    counts = Counter(map(_verdict, rows))
    if counts["identical"] == len(rows):
        return "All scores are the same before and after."
    parts = [f"{counts[word]} {word}" for word in ("better", "worse", "undecided", "identical") if counts[word]]
    if counts["–"]:
        parts.append(f"{counts['–']} without a verdict, which takes {FEWEST_FOR_VERDICTS} prompts")
    return f"After the change, by this predictor: {', '.join(parts)}."

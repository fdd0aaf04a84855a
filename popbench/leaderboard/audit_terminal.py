"""Shows audits as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from popbench.leaderboard.audit_text import SHORT, effect, equal_titles, equal_titles_counts, further, rows, verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(audits: Mapping[str, Any], console: Console) -> None:
    """Print the audits: a table, the verdict and the warnings of each."""
    from rich.text import Text

    for entry in audits["audits"]:
        console.print(_table(entry))
        console.print(Text(verdict(entry), "bold"))
        for line in entry["warnings"]:
            console.print(Text(line, "yellow"))
        for line in further(entry, str):
            console.print(Text(line, "dim"))
        if entry.get("equal_titles", {}).get("systems"):
            console.print(_equal_titles_table(entry))
        console.print()
    for label, note in audits["notes"].items():
        console.print(Text(f"{label}: {note}"))
    if audits["demo"]:
        console.print(
            Text("Demo scores: they show that the machinery works and say nothing about real popularity.", "yellow")
        )


def _table(entry: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    demo = " (demo)" if entry["demo"] else ""
    title = Text(f"What moves the scores of predictor {entry['predictor']}{demo}, 95 % intervals", "bold")
    printed = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    printed.add_column("change", overflow="fold")
    for name in ("share, %", effect(entry).lower(), "reordered, %"):
        printed.add_column(name, justify="right", no_wrap=True)
    for row in rows(entry, SHORT):
        printed.add_row(*map(Text, row[:4]))  # for narrow terminals: the sentences and the files have the rest
    return printed


def _equal_titles_table(entry: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text("Win rates at equal titles: those of {titles} per prompt".format(**equal_titles_counts(entry)))
    printed = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    printed.add_column("system", overflow="fold")
    for name in ("mean win rate, %", "at equal titles, %"):
        printed.add_column(name, justify="right", no_wrap=True)
    for row in equal_titles(entry):
        printed.add_row(*map(Text, row))
    return printed

"""Tables for the terminal, as all of a board's are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

WIDE = 110
"""Columns of a terminal with room for a system's id on one line, and for compliance and copies."""

_OPTION = re.compile(r",(?=\S)")
"""Between two options of a component, as ids have them."""


def plain_table(title: str, columns: Sequence[tuple[str, str]]) -> Table:
    """Return an empty table; a column is its name and its alignment, l or r."""
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        min_width=len(title),  # or the title of a narrow table takes two lines
    )
    for name, side in columns:
        table.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold", no_wrap=side == "r")
    return table


def system_text(name: str, width: int, fits: int = 0) -> Text:
    """Return a system's id, or several; for narrow terminals, with spaces to break the line at, if over `fits` long."""
    return Text(name if width >= WIDE or len(name) <= fits else _OPTION.sub(", ", name.replace("|", " | ")))

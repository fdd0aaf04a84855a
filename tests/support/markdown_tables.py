"""Reads markdown tables as GitHub does."""

from __future__ import annotations

import re


def cells(line: str) -> list[str]:
    """Return the cells of a table row, split as GitHub does: at pipes without a backslash before them."""
    assert line.startswith("|")
    assert line.endswith("|")
    return re.split(r"(?<!\\)\|", line[1:-1])


def tables_are_whole(text: str) -> bool:
    """Whether every row of every table has as many cells as its head; fails where there is no table."""
    tables: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    whole = [table for table in tables if table]
    assert whole
    return all(len(table) > 2 and len({len(cells(line)) for line in table}) == 1 for table in whole)

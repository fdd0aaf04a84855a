"""The tables of a ledger, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from popbench.ledger.guard import triggers
from popbench.ledger.sums import REACH, SUMS

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL, part TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (
    system TEXT, task TEXT, mode TEXT, stage TEXT, prompt TEXT, repeat INTEGER,
    key TEXT NOT NULL, status TEXT NOT NULL, value TEXT NOT NULL, at REAL,
    PRIMARY KEY (system, task, mode, stage, prompt, repeat)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, part TEXT NOT NULL, tries INTEGER NOT NULL, job TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
    key TEXT, kind TEXT, part TEXT, number REAL NOT NULL, PRIMARY KEY (key, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
LATER_COLUMNS = {"calls": ("part", "TEXT"), "done": ("at", "REAL")}
"""Columns that the first ledgers lack. They are added when such a ledger is opened, with NULL in its rows."""


def statements(script: str) -> Iterator[str]:
    """Split a script into its statements."""
    # `executescript` would commit the transaction in which tables are made.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def with_null_column(table: str) -> str:
    """Return SQL that reads a table of one of the first ledgers, with NULL for the column that it lacks."""
    return f"(SELECT *, NULL AS {LATER_COLUMNS[table][0]} FROM {table})"


SUM_TABLES = {"tally": SUMS, "reach": REACH}
"""Scripts by the table whose absence says that they have not run on this ledger."""

TRIGGERS = triggers(statements(SUMS + REACH))
"""The triggers that update the sums. A ledger may have no others: see `popbench.ledger.guard`."""

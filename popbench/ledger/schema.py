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
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
LATER_COLUMNS = {"calls": ("part", "TEXT"), "done": ("at", "REAL")}
"""Columns that ledgers made before do not have; NULL in the rows that were there."""


def statements(script: str) -> Iterator[str]:
    """Cut a script into its statements: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def lacking(table: str) -> str:
    """Name a table of a ledger that was made before its last column came."""
    return f"(SELECT *, NULL AS {LATER_COLUMNS[table][0]} FROM {table})"


SUM_TABLES = {"tally": SUMS, "reach": REACH}
"""What is made where a table is not there yet."""

TRIGGERS = triggers(statements(SUMS + REACH))
"""Those that keep the sums: the only ones that a ledger may have."""

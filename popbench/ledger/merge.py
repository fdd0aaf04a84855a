"""Merges another ledger into this one, in SQL. Where both have a row, the other ledger's is kept."""

from __future__ import annotations

import sqlite3

_TABLES = {
    "calls": ("key", "stage, status, payload"),
    "done": ("system, task, mode, stage, prompt, repeat", "key, status, value"),
    "jobs": ("key", "part, tries, job"),
    "failed": ("key, kind", "number"),
}
"""Per table: the columns of its key, and those in which two ledgers may differ."""

_REWRITTEN = (
    "SELECT ours.task, ours.mode, ours.prompt, ours.repeat FROM other.done AS theirs CROSS JOIN main.done AS ours"
    f" USING ({_TABLES['done'][0]}) WHERE ours.stage = 'write' AND"
    " (ours.status, json_extract(ours.value, '$.video_prompt')) IS NOT"
    " (theirs.status, json_extract(theirs.value, '$.video_prompt'))"
)
"""Samples for which the other ledger has another video prompt."""


def merge_rows(db: sqlite3.Connection) -> None:
    """Copy all rows of the database `other` into `main`, inside a transaction that the caller opened."""
    # A clip belongs to the draft that it was rendered from. If the draft is replaced, the clip must not count as done
    # for the sample. The call that rendered it stays: its key says what it was made of.
    if db.execute(f"{_REWRITTEN} LIMIT 1").fetchone():
        db.execute(f"CREATE TEMP TABLE rewritten AS {_REWRITTEN}")
        db.execute(
            "DELETE FROM main.done WHERE stage = 'render' AND"
            " (task, mode, prompt, repeat) IN (SELECT task, mode, prompt, repeat FROM rewritten)"
        )
        db.execute("DROP TABLE temp.rewritten")
    for table, (key, value) in _TABLES.items():
        if db.execute("SELECT 1 FROM other.sqlite_master WHERE name = ?", (table,)).fetchone():
            _merge_table(db, table, key, value)
    db.execute("DELETE FROM main.jobs WHERE key IN (SELECT key FROM main.calls)")  # which the other has finished


def _merge_table(db: sqlite3.Connection, table: str, key: str, value: str) -> None:
    ours, theirs = (
        [str(row[1]) for row in db.execute(f"PRAGMA {schema}.table_info({table})")] for schema in ("main", "other")
    )
    if not theirs:  # the table is younger than the other ledger
        return
    columns = ", ".join(column for column in ours if column in theirs)
    # Rows that differ are deleted, then inserted: equal rows and their sums stay untouched. An upsert would read the
    # table that it writes, for which SQLite first copies all rows.
    db.execute(
        f"DELETE FROM main.{table} WHERE ({key}) IN (SELECT {key} FROM other.{table} AS theirs CROSS JOIN"
        f" main.{table} AS ours USING ({key}) WHERE ({_of('ours', value)}) IS NOT ({_of('theirs', value)}))"
    )
    db.execute(f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM other.{table}")


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))

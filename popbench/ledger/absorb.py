"""Taking over the rows of another ledger, in SQL: where both have one, the other's counts."""

from __future__ import annotations

import sqlite3

_MATTER = {
    "calls": ("key", "stage, status, payload"),
    "done": ("system, task, mode, stage, prompt, repeat", "key, status, value"),
}
"""The key of every table, and what two ledgers may say otherwise of it."""

_REWRITTEN = (
    "SELECT ours.task, ours.mode, ours.prompt, ours.repeat FROM other.done AS theirs CROSS JOIN main.done AS ours"
    f" USING ({_MATTER['done'][0]}) WHERE ours.stage = 'write' AND"
    " (ours.status, json_extract(ours.value, '$.video_prompt')) IS NOT"
    " (theirs.status, json_extract(theirs.value, '$.video_prompt'))"
)
"""The places of which the other ledger has another video prompt."""


def absorb(db: sqlite3.Connection) -> None:
    """Take all rows of the database `other` into `main`, within a transaction of the caller's.

    What is settled goes together: a clip of another draft than the one that is taken over is none of its sample's, and
    goes from what is done. Its call stays.
    """
    if db.execute(f"{_REWRITTEN} LIMIT 1").fetchone():
        db.execute(f"CREATE TEMP TABLE rewritten AS {_REWRITTEN}")
        db.execute(
            "DELETE FROM main.done WHERE stage = 'render' AND"
            " (task, mode, prompt, repeat) IN (SELECT task, mode, prompt, repeat FROM rewritten)"
        )
        db.execute("DROP TABLE temp.rewritten")
    for table, (key, value) in _MATTER.items():
        _absorb(db, table, key, value)


def _absorb(db: sqlite3.Connection, table: str, key: str, value: str) -> None:
    ours, theirs = (
        [str(row[1]) for row in db.execute(f"PRAGMA {schema}.table_info({table})")] for schema in ("main", "other")
    )
    columns = ", ".join(column for column in ours if column in theirs)
    # What is as it was is left alone. An insert that reads its own table would have SQLite copy all rows first.
    db.execute(
        f"DELETE FROM main.{table} WHERE ({key}) IN (SELECT {key} FROM other.{table} AS theirs CROSS JOIN"
        f" main.{table} AS ours USING ({key}) WHERE ({_of('ours', value)}) IS NOT ({_of('theirs', value)}))"
    )
    db.execute(f"INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM other.{table}")


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))

"""What a ledger of a stranger may hold: tables with rows, and nothing that SQLite would carry out.

A view, a trigger or a generated column is a program that runs when a table of that name is read or written; some run
forever, or make gigabytes of nothing.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from json.scanner import make_scanner
from types import NoneType
from typing import Any

from popbench.records import JSON, MAX_POPULARITY

_MAX_VALUE_BYTES = 2**27
"""Bytes of a value at most."""


def guard(db: sqlite3.Connection, triggers: Collection[str], schema: str = "main") -> None:
    """Raise sqlite3.DatabaseError for a database that does more than to hold rows; `triggers` are our own, in SQL."""
    db.execute("PRAGMA mmap_size=0")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    ours = set(map(_plain, triggers))
    for kind, name, sql in db.execute(f"SELECT type, name, sql FROM {schema}.sqlite_master").fetchall():
        known = kind == "table" or (kind == "index" and sql is None) or (kind == "trigger" and _plain(sql) in ours)
        if not known or (kind == "table" and _computes(db, schema, name, str(sql))):
            raise sqlite3.DatabaseError(f"it has the {kind} {str(name)[:50]!r}, which popbench does not make")


def _plain(sql: object) -> str:
    return " ".join(str(sql).split()).rstrip("; ")


def _computes(db: sqlite3.Connection, schema: str, table: str, sql: str) -> bool:
    """Say whether a table is virtual, or has a column that is computed or checked."""
    if re.match(r"\s*CREATE\s+VIRTUAL\b", sql, re.IGNORECASE) or re.search(r"\b(CHECK|DEFAULT)\b", sql, re.IGNORECASE):
        return True
    return any(db.execute("SELECT 1 FROM pragma_table_xinfo(?, ?) WHERE hidden", (table, schema)).fetchall())


def triggers(statements: Iterator[str]) -> frozenset[str]:
    """Return those of some statements of SQL that make triggers."""
    return frozenset(statement for statement in statements if statement.lstrip().upper().startswith("CREATE TRIGGER"))


Kinds = Mapping[str, tuple[type, ...]]
"""What the fields of an object have to be."""

_TEXT, _NUMBER, _LIST = (str,), (float, int), (list,)
_COSTS: Kinds = {**dict.fromkeys(("seconds", "peak_memory_mb"), (*_NUMBER, NoneType)), "notes": (list, NoneType)}
_FAILED: Kinds = {**_COSTS, "attempts": (int,), "references": _LIST, "error": _TEXT}
_DRAFT: Kinds = {
    **_COSTS, "attempts": (int,), "references": _LIST, "title": _TEXT, "video_prompt": _TEXT, "breaches": _LIST,
    "originality": (*_NUMBER, NoneType), "usage": (dict, NoneType), "reasoning": (str, NoneType),
}  # fmt: skip
_MATCH: Kinds = {"title": _TEXT, "match": (dict,)}
_ANSWERS: Mapping[str, Kinds] = {
    "write": {**_COSTS, "text": (str, NoneType), "reasoning": (str, NoneType)},
    "render": {**_COSTS, "sha256": _TEXT, "bytes": (int,)},
    "score": {**_COSTS, "popularity": _NUMBER},
}


def check_value(stage: str, status: str, value: Mapping[str, JSON]) -> None:
    """Raise sqlite3.DatabaseError for what cannot follow from a call."""
    if stage == "write":
        _check(_FAILED if status != "ok" else _MATCH if "match" in value else _DRAFT, value)
    else:
        _check({"error": (str, NoneType)}, value)


def check_payload(stage: str, status: str, payload: Mapping[str, JSON]) -> None:
    """Raise sqlite3.DatabaseError for what no finished call can have answered."""
    _check(_ANSWERS[stage] if status == "ok" else {**_COSTS, "error": _TEXT}, payload)


def _check(kinds: Kinds, found: Mapping[str, JSON]) -> None:
    for name, possible in kinds.items():
        value: JSON = found.get(name)
        kind = type(value)
        if kind not in possible or (kind is float and not abs(value) <= MAX_POPULARITY):
            raise sqlite3.DatabaseError(f"a row is damaged: its {name} is {value!r:.50}")
    for name, count in (found.get("usage") or {}).items() if "usage" in kinds else ():
        if type(count) not in _NUMBER:
            raise sqlite3.DatabaseError(f"a row is damaged: its usage has {count!r:.50} of {name!r:.50}")


_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # as the decoder itself makes it
"""What `json.loads` comes to, without the half of its time that it takes to get there: there are millions of rows."""


def read_value(text: Any) -> dict[str, JSON]:
    """Read an object of JSON from a ledger; raises sqlite3.DatabaseError for what is none."""
    try:
        found, end = _scan(text, 0)
        if end != len(text):
            found = json.loads(text)
    except (StopIteration, TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise sqlite3.DatabaseError("a row is damaged: it holds no JSON object")
    return found

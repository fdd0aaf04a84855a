"""Checks a ledger that may come from a stranger: it may hold tables with rows, and nothing that SQLite would execute.

A view, a trigger or a generated column is a program that runs when the table is read or written. It can run forever, or
make gigabytes out of nothing.
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
"""The largest value that SQLite may return, in bytes."""


def guard(db: sqlite3.Connection, triggers: Collection[str], schema: str = "main") -> None:
    """Raise sqlite3.DatabaseError if a database holds anything but tables of rows and `triggers`, which are our own."""
    # A file that is truncated while it is mapped would kill the process.
    db.execute("PRAGMA mmap_size=0")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    ours = set(map(_plain, triggers))
    for kind, name, sql in db.execute(f"SELECT type, name, sql FROM {schema}.sqlite_master").fetchall():
        allowed = kind == "table" or (kind == "index" and sql is None) or (kind == "trigger" and _plain(sql) in ours)
        if not allowed or (kind == "table" and _computes(db, schema, name, str(sql))):
            raise sqlite3.DatabaseError(f"it has the {kind} {str(name)[:50]!r}, which popbench does not make")


def _plain(sql: object) -> str:
    return " ".join(str(sql).split()).rstrip("; ")


def _computes(db: sqlite3.Connection, schema: str, table: str, sql: str) -> bool:
    """Say whether a table is virtual, or has a computed column, a default or a check."""
    if re.match(r"\s*CREATE\s+VIRTUAL\b", sql, re.IGNORECASE) or re.search(r"\b(CHECK|DEFAULT)\b", sql, re.IGNORECASE):
        return True
    return any(db.execute("SELECT 1 FROM pragma_table_xinfo(?, ?) WHERE hidden", (table, schema)).fetchall())


def triggers(statements: Iterator[str]) -> frozenset[str]:
    """Return the statements that create triggers."""
    return frozenset(statement for statement in statements if statement.lstrip().upper().startswith("CREATE TRIGGER"))


Kinds = Mapping[str, tuple[type, ...]]
"""The types that each field of a JSON object may have."""

_TEXT, _NUMBER, _LIST = (str,), (float, int), (list,)
_COSTS: Kinds = {**dict.fromkeys(("seconds", "peak_memory_mb"), (*_NUMBER, NoneType)), "notes": (list, NoneType)}
_TEXTS = ("unusable", "remarks")
"""Lists that hold texts only: these are counted."""
_USAGE: Kinds = {"usage": (dict, NoneType)}
_ANSWERED: Kinds = {
    **_COSTS, "attempts": (int,), "references": _LIST, "uncounted": (int, NoneType),
    **dict.fromkeys(_TEXTS, (list, NoneType)),
}  # fmt: skip
_FAILED: Kinds = {**_ANSWERED, "error": _TEXT}
_DRAFT: Kinds = {
    **_ANSWERED, "title": _TEXT, "video_prompt": _TEXT, "breaches": _LIST, "originality": (*_NUMBER, NoneType),
    **_USAGE, "reasoning": (str, NoneType), "extra": (dict, NoneType),
}  # fmt: skip
_MATCH: Kinds = {"title": _TEXT, "match": (dict,)}
_ANSWERS: Mapping[str, Kinds] = {
    "write": {
        **_COSTS,
        **_USAGE,
        "text": (str, NoneType),
        "reasoning": (str, NoneType),
        "remarks": (list, NoneType),
        "cut": (bool, NoneType),
    },
    "render": {**_COSTS, **_USAGE, "sha256": _TEXT, "bytes": (int,)},
    "score": {**_COSTS, **_USAGE, "popularity": _NUMBER, "parts": (dict, NoneType)},
}


def check_value(stage: str, status: str, value: Mapping[str, JSON]) -> None:
    """Raise sqlite3.DatabaseError if `value` is not what a stage derives from a call."""
    if stage == "write":
        _check(_FAILED if status != "ok" else _MATCH if "match" in value else _DRAFT, value)
    else:
        _check({"error": (str, NoneType)}, value)


def check_payload(stage: str, status: str, payload: Mapping[str, JSON]) -> None:
    """Raise sqlite3.DatabaseError if `payload` is not the answer of a finished call."""
    _check(
        _ANSWERS[stage] if status == "ok" else {**_COSTS, **_USAGE, "error": _TEXT, "reason": (str, NoneType)}, payload
    )


def _check(kinds: Kinds, values: Mapping[str, JSON]) -> None:
    for name, possible in kinds.items():
        value: JSON = values.get(name)
        kind = type(value)
        if kind not in possible or (kind is float and not abs(value) <= MAX_POPULARITY):
            raise sqlite3.DatabaseError(f"a row is damaged: its {name} is {value!r:.50}")
        if name in _TEXTS and not all(type(text) is str for text in value or ()):
            raise sqlite3.DatabaseError(f"a row is damaged: its {name} is {value!r:.50}")
    for name, count in (values.get("usage") or {}).items() if "usage" in kinds else ():
        if type(count) not in _NUMBER:
            raise sqlite3.DatabaseError(f"a row is damaged: its usage has {count!r:.50} of {name!r:.50}")
    for name, part in (values.get("parts") or {}).items() if "parts" in kinds else ():
        if type(part) not in _NUMBER or not abs(part) <= MAX_POPULARITY:
            raise sqlite3.DatabaseError(f"a row is damaged: its part {name!r:.50} is {part!r:.50}")


_scan = make_scanner(json.JSONDecoder())  # type: ignore[arg-type]  # as the decoder itself makes it
"""The scanner inside `json.loads`, called directly: that halves the time, and there are millions of rows."""


def read_value(text: Any) -> dict[str, JSON]:
    """Read a JSON object of a ledger; raises sqlite3.DatabaseError for anything else."""
    try:
        value, end = _scan(text, 0)
        if end != len(text):  # spaces around the object, which the scanner does not skip, or damage
            value = json.loads(text)
    except (StopIteration, TypeError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise sqlite3.DatabaseError("a row is damaged: it holds no JSON object")
    return value

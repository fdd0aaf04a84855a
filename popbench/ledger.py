"""The ledger: what is already done, safe against a kill at any moment.

Two tables in SQLite (WAL, synchronous=NORMAL: a committed row survives the process, and the file survives the
machine). `calls` holds every finished call under a key made of everything that determines its result, and
nothing else. `done` says which call settled which stage of which sample, so that a resume needs to render no
template to find finished work. Errors are not kept: a resume tries them again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from popbench.errors import RunError, UsageError, one_line
from popbench.records import JSON

Stage = Literal["write", "render", "score"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (
    system TEXT, task TEXT, mode TEXT, stage TEXT, prompt TEXT, repeat INTEGER,
    key TEXT NOT NULL, status TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (system, task, mode, stage, prompt, repeat)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_VERSION = "1"
_HINT = "restore a copy, or move the run away to start anew"


@dataclass(frozen=True, slots=True)
class Cell:
    """The part of a sample's identity that one stage shares: components so far, task hash, mode fingerprint."""

    system: str
    task: str
    mode: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call: status `ok` or `invalid`, and what was answered."""

    key: str
    stage: Stage
    status: str
    payload: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Done:
    """One settled stage of one sample: which call settled it, and what follows from that call."""

    cell: Cell
    prompt: str
    repeat: int
    key: str
    status: str
    value: Mapping[str, JSON]


class Ledger:
    """The ledger of one run directory. One process writes it; other threads of that process may read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or make it; raises UsageError where that cannot be."""
        self._lock = threading.Lock()
        self._path = path
        # An absolute path with one slash: two would name a host.
        where = f"file:/{quote(str(path.absolute()).lstrip('/'))}?mode={'ro' if read_only else 'rwc'}"
        try:
            self._db = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('schema', ?)", (_VERSION,))
            version = self._db.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()
        except sqlite3.Error as error:
            raise UsageError(f"{path}: the ledger cannot be opened ({one_line(str(error))}): {_HINT}") from error
        if version is None:
            raise UsageError(f"{path}: the ledger cannot be opened (it says no version): {_HINT}")
        if version[0] != _VERSION:
            raise UsageError(f"{path}: written by another popbench (ledger {version[0]}, this one reads {_VERSION})")

    @classmethod
    def peek(cls, path: Path) -> Ledger | None:
        """Open a ledger to read it; None where there is none, or none that any run has claimed yet."""
        try:
            if not path.stat().st_size:
                return None
        except OSError:
            return None
        try:
            ledger = cls(path, read_only=True)
        except UsageError as error:
            if "no such table" in str(error) or "says no version" in str(error):  # killed while it was being made
                return None
            raise
        if ledger.about("identity") is None:
            ledger.close()
            return None
        return ledger

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread; a damaged file is one line. Raises RunError."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise RunError(f"{self._path}: the ledger cannot be read ({one_line(str(error))}): {_HINT}") from error

    def get(self, key: str) -> Call | None:
        """Look a finished call up."""
        with self._reading() as db:
            row = db.execute("SELECT stage, status, payload FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else Call(key, row[0], row[1], json.loads(row[2]))

    def commit(self, call: Call | None, done: Iterable[Done] = ()) -> None:
        """Store a finished call and what it settles, all or nothing. Raises RunError where the disk refuses."""
        rows = [
            (*_columns(item.cell), item.prompt, item.repeat, item.key, item.status, _dump(item.value)) for item in done
        ]
        finished = None if call is None else (call.key, call.stage, call.status, _dump(call.payload))
        with self._lock:
            try:
                self._db.execute("BEGIN")
                if finished is not None:
                    self._db.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)", finished)
                self._db.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise RunError(f"the ledger cannot be written ({one_line(str(error))})") from error
            finally:
                if self._db.in_transaction:  # also after an interrupt
                    self._db.execute("ROLLBACK")

    def done(self, cell: Cell) -> dict[tuple[str, int], Done]:
        """Return what is settled in a cell, by (prompt id, repeat)."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT prompt, repeat, key, status, value FROM done"
                " WHERE system = ? AND task = ? AND mode = ? AND stage = ?",
                _columns(cell),
            ).fetchall()
        return {
            (prompt, repeat): Done(cell, prompt, repeat, key, status, json.loads(value))
            for prompt, repeat, key, status, value in rows
        }

    def calls(self, cell: Cell) -> Iterator[tuple[tuple[str, int], Call]]:
        """Yield the calls that settled a cell, with (prompt id, repeat)."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT d.prompt, d.repeat, c.key, c.stage, c.status, c.payload FROM done d"
                " JOIN calls c ON c.key = d.key WHERE d.system = ? AND d.task = ? AND d.mode = ? AND d.stage = ?",
                _columns(cell),
            ).fetchall()
        for prompt, repeat, key, stage, status, payload in rows:
            yield (prompt, repeat), Call(key, stage, status, json.loads(payload))

    def modes(self, system: str, task: str) -> list[str]:
        """Return the fingerprints of the modes in which anything of a system (or of its first parts) is settled."""
        with self._reading() as db:
            rows = db.execute("SELECT DISTINCT mode FROM done WHERE system = ? AND task = ?", (system, task)).fetchall()
        return sorted(str(mode) for (mode,) in rows)

    def about(self, name: str, value: str | None = None) -> str | None:
        """Return what the ledger says of itself under `name`, after storing `value` where there is nothing yet."""
        with self._reading() as db:
            if value is not None:
                db.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, value))
            row = db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file; everything committed is in it."""
        self._db.close()


def _columns(cell: Cell) -> tuple[str, str, str, str]:
    return (cell.system, cell.task, cell.mode, cell.stage)


def _dump(value: Mapping[str, JSON]) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are in no file

"""The file of a ledger: opened, read and written as a whole, with one line for whatever is wrong with it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from popbench.errors import RunError, UsageError, one_line
from popbench.ledger.guard import guard, read_value
from popbench.ledger.merge import merge_rows
from popbench.ledger.opening import (
    AT_REST,
    DAMAGED,
    SCHEMA_VERSION,
    Tell,
    advice,
    check_pages,
    connect,
    has_empty_log,
    log_size,
    migrate,
    next_mode,
    patiently,
    prepare,
    reading_mode,
    remove_empty_log,
    unfinished,
    uri,
    wait_for_index,
    whole,
)
from popbench.ledger.schema import TRIGGERS
from popbench.records import JSON


class Database:
    """A ledger's database. What is in its tables is for `popbench.ledger.ledger`."""

    def __init__(self, path: Path, *, read_only: bool = False, at_rest: bool = False, tell: Tell | None = None) -> None:
        """Open a ledger, or make it; raises UsageError if that fails.

        `at_rest` says that no process writes it: it is then read without files beside it, also on a read-only disk.
        With `tell`, another process that holds the file is waited for, now and at every commit.
        """
        self._lock = threading.Lock()
        self._path, self._tell, self._read_only = path, tell, read_only
        mode = "rw" if not read_only else AT_REST if at_rest else reading_mode(path)
        try:
            self._had_empty_log = has_empty_log(path)
            self._db = self._opened(mode)
        except (sqlite3.Error, OSError) as error:
            why = one_line(error if isinstance(error, OSError) else str(error))
            raise UsageError(f"{path}: the ledger cannot be opened ({why}): {advice(error)}") from error

    def _opened(self, mode: str) -> sqlite3.Connection:
        """Open the file in the mode, or in one that does instead."""
        try:
            return patiently(lambda: self._open(mode), self._path, self._tell)
        except sqlite3.OperationalError as error:
            instead = next_mode(error, mode, self._path)
            if instead is None:
                raise
        return self._opened(instead)

    def _open(self, mode: str) -> sqlite3.Connection:
        """Open the file and check its version; with mode `rw`, it is made or brought up to date first."""
        if mode == "rw":
            prepare(self._path)
        db = connect(self._path, mode)
        try:
            guard(db, TRIGGERS)
            check_pages(db, self._path)
            if mode == "rw":
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
                db.execute("PRAGMA recursive_triggers=ON")  # else REPLACE would not subtract the old row
                migrate(db)
            version = db.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()
            if version is None:
                raise sqlite3.DatabaseError("it says no version")
            if version[0] != SCHEMA_VERSION:
                raise UsageError(
                    f"{self._path}: written by another popbench (ledger {version[0]}, this one reads {SCHEMA_VERSION})"
                )
            wait_for_index(db)
            return db
        except BaseException:
            self._close(db)
            raise

    @classmethod
    def peek(cls, path: Path, *, at_rest: bool = False, tell: Tell | None = None) -> Self | None:
        """Open a ledger for reading; None if there is none, or none that a run has claimed yet."""
        try:
            if not path.stat().st_size or unfinished(path):
                return None
            at_rest = at_rest and not log_size(path)  # where a killed process may have left its last commits
        except OSError:
            return None
        try:
            ledger = cls(path, read_only=True, at_rest=at_rest, tell=tell)
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
        """Lock the connection for reading. Raises RunError if the file is damaged."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise self.damaged(error) from error

    def value(self, text: object, check: Callable[..., None] | None = None, *of: str) -> dict[str, JSON]:
        """Read the JSON object of a row; raises RunError for anything else.

        `check` is `popbench.ledger.guard.check_value` or `check_payload`, called with `of`, the row's stage and status.
        It is left out if no field of the object is read.
        """
        try:
            value = read_value(text)
            if check is not None:
                check(*of, value)
            return value
        except sqlite3.Error as error:
            raise self.damaged(error) from error

    def damaged(self, why: object) -> RunError:
        """Return the error for a ledger that cannot be read."""
        hint = advice(why) if isinstance(why, sqlite3.Error) else DAMAGED
        return RunError(f"{self._path}: the ledger cannot be read ({one_line(str(why))}): {hint}")

    def _write(self, work: Callable[[], None]) -> None:
        """Do a transaction, waiting for other processes that hold the file; raises RunError if that fails."""
        with self._lock:
            try:
                patiently(work, self._path, self._tell)
            except sqlite3.Error as error:
                message = f"{self._path}: the ledger cannot be written ({one_line(str(error))}): {advice(error)}"
                raise RunError(message) from error

    def _change(self, query: str, values: tuple[Any, ...]) -> None:
        self._db.execute(query, values)

    def merge(self, path: Path) -> None:
        """Copy all rows of another ledger into this one, all or nothing; they replace rows with the same key.

        A clip whose draft is replaced no longer counts as done. Raises RunError if the other ledger cannot be read or
        this one cannot be written.
        """
        with self._lock:
            had_empty_log = has_empty_log(path)
            try:
                self._db.execute("ATTACH ? AS other", (uri(path, "ro"),))
                try:
                    guard(self._db, TRIGGERS, "other")
                    with whole(self._db):
                        merge_rows(self._db)
                finally:
                    self._db.execute("DETACH other")
                    if not had_empty_log and has_empty_log(path):
                        remove_empty_log(path)
            except sqlite3.Error as error:
                raise RunError(f"{path}: cannot be taken over into {self._path} ({one_line(str(error))})") from error

    def copy(self, path: Path) -> None:
        """Write a copy to a new file, also while another process writes this one; raises RunError if that fails."""
        with self._reading() as db, closing(sqlite3.connect(path)) as copy:
            db.backup(copy)

    def about(self, name: str, value: str | None = None) -> str | None:
        """Return the ledger's property `name`, None if it is not set; `value` is stored first if it is not set."""
        if value is not None:
            self._write(lambda: self._change("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, value)))
        with self._reading() as db:
            row = db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file. Files beside it that hold nothing are removed, unless they were there before it was read."""
        self._close(self._db)

    def _close(self, db: sqlite3.Connection) -> None:
        if not self._read_only:
            with suppress(sqlite3.Error):  # closing does so too, but not while another process reads
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        if self._read_only and not self._had_empty_log and has_empty_log(self._path):
            remove_empty_log(self._path)

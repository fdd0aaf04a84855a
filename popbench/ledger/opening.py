"""Opens a ledger's file: makes a new one, brings an earlier one up to date, and waits for other processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from popbench.files import part_of
from popbench.ledger.schema import LATER_COLUMNS, SCHEMA, SUM_TABLES, statements

T = TypeVar("T")
Tell = Callable[[str], None]
"""Tells the user one line while something is waited for."""

SCHEMA_VERSION = "1"
AT_REST = "ro&immutable=1"
"""The mode for reading a ledger that no process writes: without files beside it."""
PATIENCE = 60.0
"""Seconds to wait for another process that holds the file."""
PATIENCE_FOR_INDEX = 5.0
"""Seconds to wait for another process that makes the index of the log."""
_TRY = 1.0
"""Seconds that SQLite itself waits in one try."""
_PAUSE = 0.05
_QUICKLY_CHECKED = 2**24
"""Bytes of a ledger whose pages are checked whenever it is opened: that takes some hundredths of a second."""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_NO_INDEX = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL)
_BESIDE = ("-journal", "-wal", "-shm")
"""Ends of the names of SQLite's own files beside a database."""
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The last bytes of a journal that names another file, which SQLite would remove."""

ADVICE = {
    **dict.fromkeys(_LOCKED, "another process holds it: wait for that or end it, then give the same command again"),
    **dict.fromkeys(
        (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
        "see to the disk, which may be full, then give the same command again",
    ),
    **dict.fromkeys(
        (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
        "see to the disk and to who may write there, then give the same command again",
    ),
}
DAMAGED = "restore a copy, or move the run away to start anew"


def advice(error: BaseException) -> str:
    """Return what to do about an error of SQLite; for all that is not the file's surroundings, it is damaged."""
    return ADVICE.get(_code(error), DAMAGED)


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # text that is no UTF-8 gives an error without a code


class _Connection(sqlite3.Connection):
    """A connection that waits up to `patience` seconds for another process to finish the log's index.

    SQLite waits for whoever makes the index anew, but not where this process may not write it: then it says that the
    ledger is read-only.
    """

    patience = 0.0

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        until = time.monotonic() + self.patience
        while True:
            try:
                return super().execute(*statement)
            except sqlite3.OperationalError as error:
                if _code(error) not in _NO_INDEX or time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database without a transaction; `mode` is SQLite's, such as `ro`."""
    factory = _Connection if "readonly_shm" in mode else sqlite3.Connection
    return sqlite3.connect(
        uri(path, mode), uri=True, isolation_level=None, check_same_thread=False, timeout=_TRY, factory=factory
    )


def wait_for_index(db: sqlite3.Connection) -> None:
    """Let a connection that was read once wait where the index of the log is not there for a moment."""
    if isinstance(db, _Connection):
        db.patience = PATIENCE_FOR_INDEX


def uri(path: Path, mode: str) -> str:
    """Return the address of a database for SQLite."""
    # An absolute path with one slash: two would name a host.
    return f"file:/{quote(str(path.absolute()).lstrip('/'))}?mode={mode}"


def patiently(work: Callable[[], T], path: Path, tell: Tell | None) -> T:
    """Return `work()`; with `tell`, it is tried again while another process holds the file, which is told once."""
    if tell is None:
        return work()
    until, told = time.monotonic() + PATIENCE, False
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if _code(error) not in _LOCKED or time.monotonic() >= until:
                raise
        if not told:
            tell(f"{path}: another process holds the ledger: waiting up to {PATIENCE:g} seconds for it")
            told = True
        time.sleep(_PAUSE)


@contextmanager
def whole(db: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one transaction."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:  # also after an interrupt
            db.execute("ROLLBACK")


def has_table(db: sqlite3.Connection, table: str) -> bool:
    """Return whether a database has a table."""
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone())


def prepare(path: Path) -> None:
    """Make a ledger if there is none. Raises sqlite3.Error or OSError.

    A kill leaves it whole or not there at all. A kill of earlier releases could leave a journal beside half a ledger:
    it is rolled back.
    """
    if unfinished(path):
        with path.with_name(f"{path.name}-journal").open("rb") as journal:
            journal.seek(max(0, journal.seek(0, 2) - len(_SUPER_JOURNAL)))
            if journal.read() == _SUPER_JOURNAL:
                raise sqlite3.DatabaseError("its journal names another file, which popbench never does")
        with closing(connect(path, "rw")) as db:
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
    with suppress(FileNotFoundError):
        if path.stat().st_size:
            return
    part = part_of(path)
    for leftover in [part, *(file.with_name(file.name + end) for file in (part, path) for end in _BESIDE)]:
        leftover.unlink(missing_ok=True)
    with closing(connect(part, "rwc")) as db:
        # In the log from the start: SQLite goes over to it through a journal.
        db.execute("PRAGMA journal_mode=WAL")
        migrate(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # closing does so too, but does not say if it fails
    part.replace(path)


def reading_mode(path: Path) -> str:
    """Return the mode for reading a ledger beside a process that may write it.

    A killed process leaves a log with its index. SQLite writes that index anew for any reader, unless it is told to
    keep what it needs of it in memory. A log that was copied without its index can only be read by making one.
    """
    return "ro&readonly_shm=1" if path.with_name(f"{path.name}-shm").exists() else "ro"


def next_mode(error: sqlite3.Error, mode: str, path: Path) -> str | None:
    """Return the mode for reading a ledger that could not be read in `mode`, None if there is none.

    A kill can leave an index that has to be made anew, and another process can remove it at this moment. Where no file
    can be made, as on a read-only disk, a ledger is read without its log, if there is nothing in that.
    """
    no_files = _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    if "readonly_shm" in mode and (no_files or _code(error) in _NO_INDEX):
        return "ro"
    return AT_REST if mode == "ro" and no_files and not log_size(path) else None


def log_size(path: Path) -> int:
    """Return the bytes of a ledger's log, which has the commits that are not in the ledger yet; 0 without a log."""
    with suppress(OSError):
        return path.with_name(f"{path.name}-wal").stat().st_size
    return 0


def has_empty_log(path: Path) -> bool:
    """Return whether there are files beside a ledger that hold nothing: a log without commits, or its index."""
    return any(path.with_name(path.name + end).exists() for end in ("-wal", "-shm")) and not log_size(path)


def remove_empty_log(path: Path) -> None:
    """Let SQLite remove a log without commits, and its index; it does not while another process has the ledger."""
    # Who only reads makes these files and may not remove them. SQLite removes them when the last that may write closes.
    with suppress(sqlite3.Error), closing(connect(path, "rw")) as db:
        db.execute("PRAGMA schema_version").fetchone()


def unfinished(path: Path) -> bool:
    """Return whether a ledger was being made when an earlier release was killed; there is nothing in it yet."""
    # A ledger that is made is written through its log, never through a journal.
    with suppress(OSError):
        return path.with_name(f"{path.name}-journal").stat().st_size > 0
    return False


def check_pages(db: sqlite3.Connection, path: Path) -> None:
    """Raise sqlite3.DatabaseError if a ledger's pages do not fit together; a large one is not looked at."""
    if path.stat().st_size > _QUICKLY_CHECKED:
        return
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"its pages are damaged: {found}")


def migrate(db: sqlite3.Connection) -> None:
    """Make what a new ledger, or one of an earlier release, lacks: tables, columns, sums. All or nothing."""
    with whole(db):
        for statement in statements(SCHEMA):
            db.execute(statement)
        for table, (column, kind) in LATER_COLUMNS.items():
            if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        for table, script in SUM_TABLES.items():
            for statement in statements(script) if not has_table(db, table) else ():
                db.execute(statement)
        db.execute("INSERT OR IGNORE INTO about VALUES ('schema', ?)", (SCHEMA_VERSION,))

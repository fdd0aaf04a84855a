"""Features on disk, by the content that they are of: a video or a text is encoded once, for training and scoring alike.

One SQLite file in the cache folder, which several processes may use at once. What is written together is there
together or not at all, also after a kill; the file may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from popbench.errors import RunError, one_line

_SCHEMA = """
CREATE TABLE IF NOT EXISTS features (
    space BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key)
)
"""
_MANY = 500
"""Keys of one query."""


def space_of(*parts: object) -> bytes:
    """Name what features depend on beside the content they are of: encoder, settings, version."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()


class Store:
    """The features that are kept between runs; threads may share it. Any method may raise RunError, in one line."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self._path = path
        self._lock = threading.Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_SCHEMA)

    def get(self, space: bytes, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return what is there of some keys."""
        found: dict[bytes, bytes] = {}
        with self._told():
            for start in range(0, len(keys), _MANY):
                part = keys[start : start + _MANY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM features WHERE space = ? AND key IN ({marks})"
                found.update(self._db.execute(query, (space, *part)).fetchall())
        return found

    def put(self, values: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        """Keep values of one or more spaces, all or nothing."""
        rows = [(space, key, value) for space, of_space in values for key, value in of_space.items()]
        if not rows:
            return
        with self._told():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # also after an interrupt
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                way = "free space, remove it, or name another folder in POPBENCH_CACHE"
                raise RunError(f"{self._path}: features cannot be kept ({one_line(str(error))}): {way}") from error

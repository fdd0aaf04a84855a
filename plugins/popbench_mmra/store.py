"""Stores features on disk by content, so that a video or a text is encoded once for training and scoring.

It is one SQLite file in the cache folder, which several processes may use at once. One `put` is stored whole or not at
all, also after a kill. The file may be removed at any time.
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
_KEYS_PER_QUERY = 500
"""The most keys of one query."""


def space_of(*parts: object) -> bytes:
    """Return a key of what features depend on beside their content: encoder, settings, version."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()


class Store:
    """The stored features. Threads may share it. Any method may raise RunError."""

    def __init__(self, path: Path) -> None:
        """Open the file; make it if there is none."""
        self._path = path
        self._lock = threading.Lock()
        with self._run_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_SCHEMA)

    def get(self, space: bytes, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the stored values of keys; keys without a value are left out."""
        values: dict[bytes, bytes] = {}
        with self._run_errors():
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                chunk = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, value FROM features WHERE space = ? AND key IN ({marks})"
                values.update(self._db.execute(query, (space, *chunk)).fetchall())
        return values

    def put(self, values: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        """Store values of one or more spaces, all or nothing."""
        rows = [(space, key, value) for space, of_space in values for key, value in of_space.items()]
        if not rows:
            return
        with self._run_errors():
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
    def _run_errors(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                way = "free space, remove it, or name another folder in POPBENCH_CACHE"
                raise RunError(f"{self._path}: features cannot be kept ({one_line(str(error))}): {way}") from error

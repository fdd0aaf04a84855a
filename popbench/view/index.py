"""An index of a run's samples: what lists of them show and are filtered by, in a temporary database of SQLite.

The texts of 100,000 samples are half a gigabyte. The index holds a line of each; SQLite keeps what does not fit into
its cache in a temporary file without a name, in the system's folder for these.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from popbench.records import JSON


class Row(NamedTuple):
    """A sample as lists show it. `score` is the first predictor's; `at` is the unix time of its last stage, or 0.

    `status` is `ok`, `invalid` or `error`; of a run at work also `rendered` or `drafted`, for what waits for the next
    stage. `clip` is the name of a file in `videos`. `offset` is where its line starts in samples.jsonl.
    """

    system: str
    task: str
    prompt_id: str
    repeat: int
    category: str
    status: str
    score: float | None
    at: float
    title: str
    prompt: str
    clip: str | None
    error: str | None
    offset: int


ORDERS: Mapping[str, str] = {
    "newest": "at DESC, n DESC",
    "oldest": "n",
    "highest": "score IS NULL, score DESC, n",
    "lowest": "score IS NULL, score, n",
}
FILTERS = ("system", "task", "category", "status")
LONGEST = 300
"""Characters of titles and prompts that lists show, and that searches look through."""

_COLUMNS = Row._fields
_SCHEMA = f"""
CREATE TABLE samples (
    n INTEGER PRIMARY KEY, {", ".join(_COLUMNS)}, words TEXT, UNIQUE (task, prompt_id, repeat, system)
);
CREATE INDEX by_score ON samples (score);
CREATE INDEX by_time ON samples (at);
"""
_KEY = ("task", "prompt_id", "repeat", "system")
_PUT = (
    f"INSERT INTO samples ({', '.join(_COLUMNS)}, words) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
    f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS, "words") if name not in _KEY)
)


class Query(NamedTuple):
    """Which samples are wanted: by exact values of `FILTERS`, words of prompt, title or id, in one of `ORDERS`."""

    where: Mapping[str, str] = {}
    words: tuple[str, ...] = ()
    order: str = "oldest"
    offset: int = 0
    limit: int = 24


class Index:
    """The samples of one run; may be read while they are still being added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA cache_size=-65536")
        self._db.executescript(_SCHEMA)
        self.version = 0
        """Grows with every change."""
        self.queries = 0
        """Statements that read, for tests."""
        self._facets: tuple[int, dict[str, dict[str, int]]] = (-1, {})

    def put(self, rows: Iterable[Row]) -> None:
        """Add samples, or replace what is known of them."""
        values = [(*row, f"{row.prompt_id} {row.title} {row.prompt}".casefold()) for row in rows]
        if not values:
            return
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(_PUT, values)
            self._db.execute("COMMIT")
            self.version += 1

    def __len__(self) -> int:
        return int(self._read("SELECT count(*) FROM samples")[0][0])

    def select(self, query: Query) -> tuple[int, list[Row]]:
        """Return how many samples fit, and one page of them."""
        where, values = _conditions(query)
        rows = self._read(
            f"SELECT {', '.join(_COLUMNS)} FROM samples {where} ORDER BY {ORDERS[query.order]} LIMIT ? OFFSET ?",
            [*values, query.limit, query.offset],
        )
        number = self._read(f"SELECT count(*) FROM samples {where}", values)[0][0]
        return number, [Row(*row) for row in rows]

    def of_prompt(self, task: str, prompt_id: str, repeat: int, limit: int = 500) -> list[Row]:
        """Return what the systems made of one prompt, in the order of the systems' names."""
        rows = self._read(
            f"SELECT {', '.join(_COLUMNS)} FROM samples WHERE task = ? AND prompt_id = ? AND repeat = ?"
            " ORDER BY system LIMIT ?",
            [task, prompt_id, repeat, limit],
        )
        return [Row(*row) for row in rows]

    def get(self, task: str, prompt_id: str, repeat: int, system: str) -> Row | None:
        """Return a sample; None if it is not there, or not yet."""
        where = " AND ".join(f"{name} = ?" for name in _KEY)
        rows = self._read(f"SELECT {', '.join(_COLUMNS)} FROM samples WHERE {where}", [task, prompt_id, repeat, system])
        return Row(*rows[0]) if rows else None

    def newest(self, limit: int) -> list[Row]:
        """Return the samples whose clips came last."""
        columns = ", ".join(_COLUMNS)
        query = f"SELECT {columns} FROM samples WHERE clip IS NOT NULL ORDER BY at DESC, n DESC LIMIT ?"
        return [Row(*row) for row in self._read(query, [limit])]

    def facets(self) -> dict[str, dict[str, int]]:
        """Return the values that samples can be filtered by, with their numbers."""
        version, facets = self._facets
        if version != self.version:
            version = self.version
            facets = {
                name: dict(self._read(f"SELECT {name}, count(*) FROM samples GROUP BY 1 ORDER BY 1 LIMIT 1000"))
                for name in FILTERS
            }
            self._facets = version, facets
        return facets

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._db.close()

    def _read(self, query: str, values: Iterable[JSON] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            self.queries += 1
            return self._db.execute(query, tuple(values)).fetchall()


def _conditions(query: Query) -> tuple[str, list[JSON]]:
    conditions = [f"{name} = ?" for name in FILTERS if name in query.where]
    values: list[JSON] = [query.where[name] for name in FILTERS if name in query.where]
    for word in query.words:
        conditions.append("instr(words, ?)")
        values.append(word.casefold())
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values

"""The ledger's database: finished calls, and the stages of samples that they settle.

Tables in SQLite (WAL, synchronous=NORMAL: a committed row survives a kill of the process, and the file survives a
crash of the machine). `calls` holds every finished call under a key made of everything that determines its result, and
nothing else. `done` holds, for each settled stage of a sample, the key of its call and the time, so that a resume finds
finished work without rendering a template. Errors are not stored: a resume tries them again. `failed` holds what they
took all the same of what has a price, and what answers took that were asked for anew.

`jobs` holds, for calls that the world has accepted and not finished, under which job it works on them, and how often
they were tried: a row is made when a job is accepted, has no job once that is over, and goes with the finished call.

Sums over calls and results are kept beside them: see `popbench.ledger.sums`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

from popbench.ledger.database import Database
from popbench.ledger.guard import check_payload, check_value
from popbench.ledger.opening import has_table, whole
from popbench.ledger.schema import with_null_column
from popbench.ledger.sums import (
    ADD_FAILED,
    ADD_REPLACED,
    TICK,
    count_done,
    in_all,
    sum_calls,
    sum_counts,
    sum_tokens,
)
from popbench.records import JSON

StageName = Literal["write", "render", "score"]
STAGES: tuple[StageName, ...] = ("write", "render", "score")
"""The stages in their order: each takes the result of the one before."""

_KEYS_PER_QUERY = 400
"""Samples that one query reads."""


@dataclass(frozen=True, slots=True)
class StageKey:
    """The part of a sample's identity that one stage shares: components so far, task hash, mode fingerprint."""

    system: str
    task: str
    mode: str
    stage: StageName


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call: its status, `ok` or `invalid`, and the answer."""

    key: str
    stage: StageName
    status: str
    payload: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Job:
    """What an unfinished call was accepted as, None if that is over, and the number of the try that this is or was."""

    job: JSON
    tries: int


@dataclass(frozen=True, slots=True)
class Done:
    """A settled stage of a sample: the key of the call, and the value that the stage derived from its answer."""

    stage_key: StageKey
    prompt: str
    repeat: int
    key: str
    status: str
    value: Mapping[str, JSON]


class Ledger(Database):
    """The ledger of a run directory. One process writes it; other threads of that process may read."""

    def get(self, key: str, of: StageName) -> Call | None:
        """Return a finished call of a stage, None if there is none with this key; raises RunError for a damaged row."""
        with self._reading() as db:
            row = db.execute("SELECT stage, status, payload FROM calls WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        stage, status, payload = row
        if stage != of or status not in ("ok", "invalid"):
            raise self.damaged(f"a call of {of} has the stage {stage!r:.20} and the status {status!r:.20}")
        return Call(key, of, status, self.value(payload, check_payload, of, status))

    def commit(
        self, call: Call | None, done: Iterable[Done] = (), part: str | None = None, *, submitted: bool = True
    ) -> None:
        """Store a finished call and the stages that it settles, all or nothing; `part` is the component's digest.

        `submitted` says that there may be a job of the call, which goes with it. Raises RunError if the disk refuses.
        """
        at = time.time()
        rows = [
            (*_columns(item.stage_key), item.prompt, item.repeat, item.key, item.status, _dump(item.value), at)
            for item in done
        ]
        finished = None if call is None else (call.key, call.stage, call.status, _dump(call.payload), part)

        def write() -> None:
            with whole(self._db):
                if finished is not None:
                    if finished[1] == "render":  # its file was gone: what it took was paid for all the same
                        self._db.execute(ADD_REPLACED, finished[:1])
                    self._db.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?)", finished)
                    if submitted:
                        self._db.execute("DELETE FROM jobs WHERE key = ?", finished[:1])
                self._db.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

        self._write(write)

    def submit(self, key: str, job: JSON, part: str) -> None:
        """Store under which job the world works on a call; raises RunError if the disk refuses."""
        row = (key, part, json.dumps(job, separators=(",", ":")))
        query = "INSERT INTO jobs VALUES (?, ?, 1, ?) ON CONFLICT (key) DO UPDATE SET job = excluded.job"
        self._write(lambda: self._change(query, row))

    def end_job(self, key: str) -> None:
        """Store that the job of a call is over without an answer: the next one is another try."""
        self._write(lambda: self._change("UPDATE jobs SET job = NULL, tries = tries + 1 WHERE key = ?", (key,)))

    def jobs(self, part: str) -> dict[str, Job]:
        """Return what was submitted of a component's unfinished calls, by key; raises RunError for a damaged row."""
        with self._reading() as db:
            rows = db.execute("SELECT key, tries, job FROM jobs WHERE part = ?", (part,)).fetchall()
        try:
            return {key: Job(None if job is None else json.loads(job), int(tries)) for key, tries, job in rows}
        except (TypeError, ValueError, RecursionError) as error:
            raise self.damaged("a job is no JSON") from error

    def in_flight(self) -> dict[str, int]:
        """Count the jobs that are not over, by the digest of the component."""
        with self._reading() as db:
            known = has_table(db, "jobs")
            query = "SELECT part, count(*) FROM jobs WHERE job IS NOT NULL GROUP BY part"
            return dict(db.execute(query).fetchall() if known else ())

    def pay(self, key: str, part: str, usage: Mapping[str, float]) -> None:
        """Add what a failed call took to what the component with the digest `part` took before.

        Raises RunError if the disk refuses.
        """
        rows = [(key, kind, part, number) for kind, number in usage.items()]

        def write() -> None:
            with whole(self._db):
                self._db.executemany(ADD_FAILED, rows)

        self._write(write)

    def done(self, stage_key: StageKey) -> dict[tuple[str, int], Done]:
        """Return the results under a stage key, by (prompt id, repeat)."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT prompt, repeat, key, status, value FROM done"
                " WHERE system = ? AND task = ? AND mode = ? AND stage = ?",
                _columns(stage_key),
            ).fetchall()
        return {
            (prompt, repeat): Done(
                stage_key, prompt, repeat, key, status, self.value(value, check_value, stage_key.stage, status)
            )
            for prompt, repeat, key, status, value in rows
        }

    def calls(self, stage_key: StageKey) -> Iterator[tuple[tuple[str, int], Call]]:
        """Yield (prompt id, repeat) and the call of every settled sample with a stage key."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT d.prompt, d.repeat, c.key, c.stage, c.status, c.payload FROM done d"
                " JOIN calls c ON c.key = d.key WHERE d.system = ? AND d.task = ? AND d.mode = ? AND d.stage = ?",
                _columns(stage_key),
            ).fetchall()
        for prompt, repeat, key, stage, status, payload in rows:
            payload = self.value(payload, check_payload, stage_key.stage, status)
            yield (prompt, repeat), Call(key, stage, status, payload)

    def rows(
        self, stage_keys: Sequence[StageKey], columns: str, places: Iterable[tuple[str, int]]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield for each place (prompt id, repeat) what `columns` name of it, in SQL, NULL where nothing is settled.

        There `d0` is the row of `done` for the first of `stage_keys` and `c0` the call behind it, `d1` and `c1` those
        of the second, and so on. Some hundred places are read at a time, so that memory holds no more, and others
        can write in between.
        """
        joins = []
        for number in range(len(stage_keys)):
            done = f"d{number}.system = ? AND d{number}.task = ? AND d{number}.mode = ? AND d{number}.stage = ?"
            at = f"d{number}.prompt = places.prompt AND d{number}.repeat = places.repeat"
            joins.append(f"LEFT JOIN done d{number} ON {done} AND {at}")
            if f"c{number}." in columns:
                joins.append(f"LEFT JOIN calls c{number} ON c{number}.key = d{number}.key")
        where = [column for stage_key in stage_keys for column in _columns(stage_key)]
        rest = iter(places)
        while wanted := list(islice(rest, _KEYS_PER_QUERY)):
            query = (
                f"WITH places(prompt, repeat) AS (VALUES {', '.join(['(?, ?)'] * len(wanted))})"
                f" SELECT places.prompt, places.repeat, {columns} FROM places {' '.join(joins)}"
            )
            with self._reading() as db:
                rows = db.execute(query, [*chain.from_iterable(wanted), *where]).fetchall()
            yield from rows

    def count(self, stage_key: StageKey, repeats: int, prompts: Iterable[str] | None = None) -> tuple[int, int]:
        """Count the results, and those that are ok, of the first `repeats` of some prompts or of all."""
        values: list[Any] = [*_columns(stage_key)]
        where = "system = ? AND task = ? AND mode = ? AND stage = ?"
        with self._reading() as db:
            if prompts is None and self._reaches(stage_key.task, repeats):
                query = f"SELECT total(n), total(n * (status = 'ok')) FROM tally WHERE {where}"
            else:
                query = f"SELECT count(*), total(status = 'ok') FROM done WHERE {where} AND repeat < ?"
                values.append(repeats)
            if prompts is not None:
                query += " AND prompt IN (SELECT value FROM json_each(?))"
                values.append(json.dumps(list(prompts)))
            n, ok = db.execute(query, values).fetchone()
        return int(n), int(ok)

    def places(self, stage_key: StageKey) -> set[tuple[str, int]]:
        """Return (prompt id, repeat) of the results under a stage key."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT prompt, repeat FROM done WHERE system = ? AND task = ? AND mode = ? AND stage = ?",
                _columns(stage_key),
            )
            return set(rows)

    def settled_since(self, stage_key: StageKey, since: float) -> list[tuple[str, int, float]]:
        """Return (prompt id, repeat, time) of the results under a stage key that were settled at `since` or later.

        Times are unix times; 0 for rows of ledgers that did not keep times yet.
        """
        with self._reading() as db:
            source = "done" if has_table(db, "tally") else with_null_column("done")
            return db.execute(
                f"SELECT prompt, repeat, ifnull(at, 0) FROM {source}"
                " WHERE system = ? AND task = ? AND mode = ? AND stage = ? AND ifnull(at, 0) >= ?",
                (*_columns(stage_key), since),
            ).fetchall()

    def _reaches(self, task: str, repeats: int) -> bool:
        """Say whether no prompt of a task has more than `repeats` repeats; False if that is not known."""
        if not has_table(self._db, "reach"):
            return False
        row = self._db.execute("SELECT repeats FROM reach WHERE task = ?", (task,)).fetchone()
        return row is not None and isinstance(row[0], int) and row[0] <= repeats

    def complete(self, stage_key: StageKey, repeats: int) -> set[str]:
        """Return the ids of the prompts of which the first `repeats` all have a result under a stage key."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT prompt FROM done WHERE system = ? AND task = ? AND mode = ? AND stage = ? AND repeat < ?"
                " GROUP BY prompt HAVING count(*) = ?",
                (*_columns(stage_key), repeats, repeats),
            ).fetchall()
        return {str(prompt) for (prompt,) in rows}

    def modes(self, system: str, task: str) -> list[str]:
        """Return the fingerprints of the modes in which a system, or its first components, has settled stages."""
        with self._reading() as db:
            rows = db.execute("SELECT DISTINCT mode FROM done WHERE system = ? AND task = ?", (system, task)).fetchall()
        return sorted(str(mode) for (mode,) in rows)

    def sums(self, *since: float) -> list[tuple[StageKey, str, int, float, *tuple[int, ...]]]:
        """Count settled stages: (stage key, status, number, time of the latest, numbers since each time in `since`).

        Times are unix times; 0 for rows of ledgers that did not keep times yet. `since` is rounded down to
        `popbench.ledger.sums.TICK` seconds.
        """
        with self._reading() as db:
            source = "tally" if has_table(db, "tally") else f"({count_done(with_null_column('done'))})"
            rows = db.execute(sum_counts(source, len(since)), [moment // TICK * TICK for moment in since]).fetchall()
        return [(StageKey(*row[:4]), *row[4:]) for row in rows]

    def spent(self) -> list[tuple[str, str, int, float, float]]:
        """Add up calls: (digest of the component, empty if unknown, stage, number, seconds, seconds times GPUs)."""
        with self._reading() as db:
            query = "SELECT * FROM spent" if has_table(db, "spent") else sum_calls(with_null_column("calls"))
            rows = db.execute(query).fetchall()
        if any(not isinstance(value, int | float) for row in rows for value in row[2:]):
            raise self.damaged("its sums are no numbers")
        return rows

    def used(self) -> list[tuple[str, str, float]]:
        """Add up what calls took, failed ones too: (digest of the component, empty if unknown, kind, number)."""
        with self._reading() as db:
            query = "SELECT * FROM used" if has_table(db, "used") else sum_tokens(with_null_column("calls"))
            if has_table(db, "failed"):
                query = f"SELECT * FROM ({query}) UNION ALL SELECT part, kind, number FROM failed"
            rows = db.execute(query).fetchall()
        return self._in_all(rows)

    def failed(self) -> list[tuple[str, str, float]]:
        """Add up what failed calls took: (digest of the component, kind, number)."""
        with self._reading() as db:
            rows = db.execute("SELECT part, kind, number FROM failed").fetchall() if has_table(db, "failed") else []
        return self._in_all(rows)

    def _in_all(self, rows: Iterable[tuple[str, str, JSON]]) -> list[tuple[str, str, float]]:
        try:
            return in_all(rows)
        except ValueError as error:
            raise self.damaged(error) from error

    def clips(self) -> Iterator[Call]:
        """Yield the calls that rendered a clip, ordered by key, holding a thousand at a time."""
        last = ""
        while True:
            with self._reading() as db:
                rows = db.execute(
                    "SELECT key, payload FROM calls WHERE key > ? AND stage = 'render' AND status = 'ok'"
                    " ORDER BY key LIMIT 1000",
                    (last,),
                ).fetchall()
            if not rows:
                return
            if not last < rows[0][0] <= rows[-1][0]:  # else the same rows could come again and again
                raise self.damaged("its rows are in no order")
            for key, payload in rows:
                yield Call(key, "render", "ok", self.value(payload))
            last = rows[-1][0]


def _columns(stage_key: StageKey) -> tuple[str, str, str, str]:
    return (stage_key.system, stage_key.task, stage_key.mode, stage_key.stage)


def _dump(value: Mapping[str, JSON]) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are in no file

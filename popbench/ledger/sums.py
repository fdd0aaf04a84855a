"""Sums that a ledger keeps over its rows, in SQL, so that the status of a run of a million samples is read at once.

`tally` counts the rows of `done` by stage key, status and time; `spent` adds up the calls per component, `used` their
tokens; `reach` holds the largest number of repeats of any prompt of a task. Triggers update them, so that they stay
right whoever writes the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from popbench.records import JSON

TICK = 10
"""Seconds: the resolution of times in `tally`."""

_SECONDS = "json_extract({row}payload, '$.seconds')"
_GPU_SECONDS = f"{_SECONDS} * json_extract({{row}}payload, '$.gpus')"
_AT = f"ifnull(CAST({{row}}at / {TICK} AS INTEGER) * {TICK}, 0)"


def count_done(done: str = "done") -> str:
    """Return SQL that counts rows: (system, task, mode, stage, status, tick, number, time of the latest)."""
    return (
        f"SELECT system, task, mode, stage, status, {_AT.format(row='')} AS tick, count(*) AS n,"
        f" ifnull(max(at), 0) AS last FROM {done} GROUP BY 1, 2, 3, 4, 5, 6"
    )


def sum_counts(tally: str, moments: int) -> str:
    """Return SQL that adds up the rows of `count_done`, with one parameter for each of `moments` times.

    Its rows: (system, task, mode, stage, status, number, time of the latest, numbers since each of the times).
    """
    since = "".join(", sum(CASE WHEN tick >= ? THEN n ELSE 0 END)" for _ in range(moments))
    return (
        f"SELECT system, task, mode, stage, status, sum(n), max(last){since} FROM {tally} GROUP BY 1, 2, 3, 4, 5"
        " HAVING sum(n) > 0"
    )


def sum_calls(calls: str = "calls") -> str:
    """Return SQL that adds up calls: (digest of the component, stage, number, seconds, seconds times GPUs)."""
    seconds, gpu_seconds = (f"total({value.format(row='')})" for value in (_SECONDS, _GPU_SECONDS))
    return f"SELECT ifnull(part, ''), stage, count(*), {seconds}, {gpu_seconds} FROM {calls} GROUP BY 1, 2"


def sum_tokens(calls: str = "calls") -> str:
    """Return SQL that adds up the tokens of calls: (digest of the component, kind of token, number)."""
    return (
        f"SELECT ifnull(part, ''), u.key, sum(u.value) FROM {calls}, json_each(payload, '$.usage') AS u"
        " WHERE u.value > 0 GROUP BY 1, 2"
    )


_ADDED = "ON CONFLICT DO UPDATE SET number = number + excluded.number"
ADD_FAILED = f"INSERT INTO failed VALUES (?, ?, ?, ?) {_ADDED}"
"""Adds to what a failed call took: key of the call, kind, digest of the component, number."""
ADD_REPLACED = (
    "INSERT INTO failed SELECT c.key, u.key, c.part, u.value FROM calls c, json_each(c.payload, '$.usage') u"
    f" WHERE c.key = ? AND u.value > 0 {_ADDED}"
)
"""Adds to `failed` what a call took that is about to be replaced."""


def in_all(rows: Iterable[tuple[str, str, JSON]]) -> list[tuple[str, str, float]]:
    """Add up rows by component and kind; raises ValueError for a number that is none."""
    sums: dict[tuple[str, str], float] = {}
    for part, kind, number in rows:
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError("its sums are no numbers")
        whole = int(number) if number == number // 1 else number  # a REAL column has no integers
        sums[part, kind] = sums.get((part, kind), 0) + whole
    return [(part, kind, sums[part, kind]) for part, kind in sorted(sums)]


def usage_of(kind: str, part: str, used: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return what a component took in all, of the rows of `Ledger.used`; empty if nothing is known.

    These leave out what sums to 0, and an LLM may state its cost for both kinds of tokens only.
    """
    usage = {name: number for of, name, number in used if of == part}
    return {"input": 0, "output": 0, **usage} if usage and kind == "llm" else usage


def _triggers(event: str, row: str, sign: str) -> str:
    """Return SQL of triggers that add an inserted row to the sums, or subtract a deleted one."""
    at, seconds, gpu_seconds = (value.format(row=f"{row}.") for value in (_AT, _SECONDS, _GPU_SECONDS))
    cell = ", ".join(f"{row}.{name}" for name in ("system", "task", "mode", "stage", "status"))
    return f"""
CREATE TRIGGER done_{event} AFTER {event} ON done BEGIN
    INSERT INTO tally VALUES ({cell}, {at}, {sign}1, ifnull({row}.at, 0))
    ON CONFLICT DO UPDATE SET n = n + excluded.n, last = max(last, excluded.last);
END;
CREATE TRIGGER calls_{event} AFTER {event} ON calls BEGIN
    INSERT INTO spent VALUES (
        ifnull({row}.part, ''), {row}.stage, {sign}1, {sign}ifnull({seconds}, 0), {sign}ifnull({gpu_seconds}, 0)
    ) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, seconds = seconds + excluded.seconds,
        gpu_seconds = gpu_seconds + excluded.gpu_seconds;
    INSERT INTO used
        SELECT ifnull({row}.part, ''), u.key, {sign}u.value FROM json_each({row}.payload, '$.usage') AS u
        WHERE u.value > 0
    ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens;
END;
"""


SUMS = f"""
CREATE TABLE tally (
    system TEXT, task TEXT, mode TEXT, stage TEXT, status TEXT, tick INTEGER, n INTEGER NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (system, task, mode, stage, status, tick)
) WITHOUT ROWID;
CREATE TABLE spent (
    part TEXT, stage TEXT, calls INTEGER NOT NULL, seconds REAL NOT NULL, gpu_seconds REAL NOT NULL,
    PRIMARY KEY (part, stage)
) WITHOUT ROWID;
CREATE TABLE used (part TEXT, kind TEXT, tokens INTEGER NOT NULL, PRIMARY KEY (part, kind)) WITHOUT ROWID;
INSERT INTO tally {count_done()};
INSERT INTO spent {sum_calls()};
INSERT INTO used {sum_tokens()};
{_triggers("insert", "new", "")}
{_triggers("delete", "old", "-")}
"""

REACH = """
CREATE TABLE reach (task TEXT PRIMARY KEY, repeats INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO reach SELECT task, max(repeat) + 1 FROM done GROUP BY task;
CREATE TRIGGER done_reach AFTER INSERT ON done BEGIN
    INSERT INTO reach VALUES (new.task, new.repeat + 1)
    ON CONFLICT DO UPDATE SET repeats = excluded.repeats WHERE excluded.repeats > repeats;
END;
"""

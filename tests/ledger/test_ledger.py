"""The ledger's columns that came later, and the sums it keeps of its rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from popbench.errors import RunError
from popbench.ledger.ledger import Call, Done, Job, Ledger, StageKey
from popbench.ledger.schema import SUM_TABLES
from popbench.ledger.sums import count_done, sum_calls, sum_tokens

WRITE, RENDER = StageKey("s", "t", "m", "write"), StageKey("s", "t", "m", "render")
PAYLOAD = {"seconds": 2.5, "gpus": 2.0, "notes": [], "usage": {"input": 30, "output": 7}}
BEFORE = """
CREATE TABLE calls (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, status TEXT NOT NULL, payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE done (
    system TEXT, task TEXT, mode TEXT, stage TEXT, prompt TEXT, repeat INTEGER,
    key TEXT NOT NULL, status TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (system, task, mode, stage, prompt, repeat)
) WITHOUT ROWID;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO about VALUES ('schema', '1'), ('identity', '{}');
INSERT INTO calls VALUES ('k', 'write', 'ok', '{"seconds":2.5,"usage":{"input":30}}'), ('j', 'render', 'ok', '{}');
INSERT INTO done VALUES ('s', 't', 'm', 'write', 'p', 0, 'k', 'ok', '{}');
"""
"""A ledger as it was before rows had moments and sums were kept."""


def done(prompt: str, status: str = "ok", stage_key: StageKey = WRITE) -> Done:
    return Done(stage_key, prompt, 0, "k", status, {})


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(BEFORE)
    return path


def counts(ledger: Ledger) -> dict[tuple[StageKey, str], int]:
    return {(stage_key, status): n for stage_key, status, n, *_ in ledger.sums()}


def test_every_row_knows_when_it_was_settled(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    before = time.time()
    with closing(Ledger(path)) as ledger:
        ledger.commit(None, [done("p")])
        ((stage_key, status, n, last, *since),) = ledger.sums(before, before + 20)
    with closing(sqlite3.connect(path)) as db:
        ((at,),) = db.execute("SELECT at FROM done").fetchall()
    assert before <= at <= time.time()
    assert (stage_key, status, n, last) == (WRITE, "ok", 1, at)
    assert since == [1, 0]


def test_a_ledger_of_before_is_read_as_it_is(old: Path) -> None:
    content = old.read_bytes()
    ledger = Ledger.peek(old)
    assert ledger is not None
    with closing(ledger):
        assert ledger.places(WRITE) == {("p", 0)}
        assert ledger.sums(100.0) == [(WRITE, "ok", 1, 0, 0)]
        assert ledger.spent() == [("", "render", 1, 0, 0), ("", "write", 1, 2.5, 0)]
        assert ledger.used() == [("", "input", 30)]
    assert old.read_bytes() == content


def test_a_ledger_of_before_goes_on_and_counts_what_it_had(old: Path) -> None:
    for _ in range(2):  # the second time there is nothing left to do
        with closing(Ledger(old)) as ledger:
            ledger.commit(Call("l", "write", "ok", PAYLOAD), [done("q")], "abc")
            assert counts(ledger) == {(WRITE, "ok"): 2}
            assert ledger.places(WRITE) == {("p", 0), ("q", 0)}
            assert ledger.about("schema") == "1"
            assert ledger.used() == [("", "input", 30), ("abc", "input", 30), ("abc", "output", 7)]


def test_a_killed_migration_leaves_the_ledger_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUM_TABLES, "tally", "CREATE TABLE tally (n);\nCREATE TABLE about (n);\n")
    with pytest.raises(Exception, match="already exists"):
        Ledger(old)
    with closing(sqlite3.connect(old)) as db:
        assert len(db.execute("PRAGMA table_info(done)").fetchall()) == 9


def test_counts_are_of_what_is_asked_for_also_where_a_cell_holds_more(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.commit(None, [Done(WRITE, prompt, repeat, "k", "ok", {}) for prompt in "pqr" for repeat in range(2)])
        ledger.commit(None, [done("q", "invalid")])
        assert ledger.count(WRITE, 2) == ledger.count(WRITE, 3) == (6, 5)
        assert ledger.count(WRITE, 1) == (3, 2)
        assert ledger.count(WRITE, 2, ["p", "r", "s"]) == (4, 4)
        assert ledger.count(RENDER, 2) == (0, 0)
        ledger.commit(None, [Done(WRITE, "r", 7, "k", "ok", {})])
        assert ledger.count(WRITE, 2) == (6, 5)
        assert ledger.count(WRITE, 8) == (7, 6)


def test_a_ledger_of_before_is_counted_by_its_rows_and_by_its_sums_once_it_has_them(old: Path) -> None:
    ledger = Ledger.peek(old)
    assert ledger is not None
    assert ledger.count(WRITE, 1) == (1, 1)
    ledger.close()
    with closing(Ledger(old)) as ledger:
        assert ledger.count(WRITE, 1) == (1, 1)
    with closing(sqlite3.connect(old)) as db:
        db.execute("UPDATE tally SET n = 5")
        db.commit()
    with closing(Ledger(old)) as ledger:
        assert ledger.count(WRITE, 1) == (5, 5)
        assert ledger.count(WRITE, 0) == (0, 0)


def test_the_sums_are_those_of_the_rows_also_where_rows_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        for status in ("ok", "invalid"):
            ledger.commit(Call("k", "write", status, PAYLOAD), [done("p", status), done("q", status)], "llm")
        ledger.commit(Call("c", "render", "ok", {"seconds": None, "notes": []}), [done("p", stage_key=RENDER)], "gen")
        ledger.commit(None, [done("r")])
        assert counts(ledger) == {(WRITE, "invalid"): 2, (WRITE, "ok"): 1, (RENDER, "ok"): 1}
        assert ledger.spent() == [("gen", "render", 1, 0, 0), ("llm", "write", 1, 2.5, 5)]
        assert ledger.used() == [("llm", "input", 30), ("llm", "output", 7)]
    with closing(sqlite3.connect(path)) as db:
        for table, count in (("tally WHERE n > 0", count_done()), ("spent", sum_calls()), ("used", sum_tokens())):
            assert db.execute(f"SELECT * FROM {table}").fetchall() == db.execute(count).fetchall()


# -- jobs


def test_a_job_is_there_until_its_call_is_finished_or_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        ledger.submit("a", {"id": "ü"}, "vp")
        ledger.submit("a", ["again"], "vp")
        ledger.submit("b", 7, "vp")
        ledger.submit("c", "x", "another")
        assert ledger.in_flight() == {"vp": 2, "another": 1}
        ledger.end_job("b")
        ledger.end_job("never submitted")
        assert ledger.jobs("vp") == {"a": Job(["again"], 1), "b": Job(None, 2)}
        ledger.commit(Call("a", "render", "ok", PAYLOAD), [done("p", stage_key=RENDER)], "vp")
    with closing(Ledger(path, read_only=True)) as ledger:
        assert ledger.in_flight() == {"another": 1}
        assert ledger.jobs("vp") == {"b": Job(None, 2)}


def test_a_ledger_from_before_jobs_has_none_and_takes_them(old: Path) -> None:
    with closing(Ledger(old, read_only=True)) as ledger:
        assert ledger.in_flight() == {}
    with closing(Ledger(old)) as ledger:
        ledger.submit("a", 1, "vp")
        assert ledger.jobs("vp") == {"a": Job(1, 1)}


def test_merged_ledgers_have_the_jobs_of_both_but_those_that_one_has_finished(tmp_path: Path, old: Path) -> None:
    with closing(Ledger(tmp_path / "one.sqlite")) as one, closing(Ledger(tmp_path / "two.sqlite")) as two:
        one.submit("finished by two", 1, "vp")
        one.submit("of one", 1, "vp")
        two.commit(Call("finished by two", "render", "ok", PAYLOAD))
        two.submit("finished by one", 1, "vp")
        two.submit("of two", 1, "vp")
        one.commit(Call("finished by one", "render", "ok", PAYLOAD))
        one.merge(old)
        one.merge(tmp_path / "two.sqlite")
        assert set(one.jobs("vp")) == {"of one", "of two"}


@pytest.mark.parametrize("job", ["{", "[1", b"\xff"])
def test_a_damaged_job_is_one_line(job: object, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path)) as ledger:
        ledger.submit("a", 1, "vp")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET job = ?", (job,))
    with closing(Ledger(path)) as ledger, pytest.raises(RunError, match="the ledger cannot be read") as caught:
        ledger.jobs("vp")
    assert "\n" not in str(caught.value)


def test_what_failed_calls_took_is_added_up_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    clip: dict[str, Any] = {"seconds": None, "notes": [], "usage": {"video_seconds": 2.5}}
    with closing(Ledger(path)) as ledger:
        for _ in range(2):
            ledger.pay("c", "gen", {"video_seconds": 1.5, "requests": 1})
        ledger.commit(Call("c", "render", "ok", clip), [done("p", stage_key=RENDER)], "gen")
        assert ledger.failed() == [("gen", "requests", 2), ("gen", "video_seconds", 3)]
        ledger.commit(Call("c", "render", "ok", clip), [done("p", stage_key=RENDER)], "gen")  # its file was gone
        assert ledger.failed() == [("gen", "requests", 2), ("gen", "video_seconds", 5.5)]
        assert ledger.used() == [("gen", "requests", 2), ("gen", "video_seconds", 8)]
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE failed SET number = 'many'")
        db.commit()
    with closing(Ledger(path)) as ledger, pytest.raises(RunError, match="its sums are no numbers"):
        ledger.used()


def test_reading_the_log_of_a_killed_process_changes_no_file(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.about("identity", "{}")
        ledger.commit(Call("k", "write", "ok", PAYLOAD), [done("p")])
        for file in sorted(tmp_path.glob("ledger.sqlite*")):  # as a kill leaves them: the log is not worked in
            (tmp_path / "killed" / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "killed/ledger.sqlite"
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}
    assert len(before) == 3
    found = Ledger.peek(path, at_rest=True)
    assert found is not None
    with closing(found):
        ((prompt, repeat, at),) = found.settled_since(WRITE, 0)
        assert (prompt, repeat) == ("p", 0)
        assert at == pytest.approx(time.time(), abs=60)
        assert found.settled_since(WRITE, time.time() + 60) == []
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()} == before


def test_results_of_a_ledger_of_before_have_no_time(old: Path) -> None:
    found = Ledger.peek(old)
    assert found is not None
    with closing(found):
        assert found.settled_since(WRITE, 0) == [("p", 0, 0)]

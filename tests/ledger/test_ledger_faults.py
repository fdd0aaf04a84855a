"""Kills and errors of the disk while a ledger is made, other processes that hold it, and damage: one line, no loss."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import faults
import popbench_runs
from popbench.errors import PopbenchError, RunError, UsageError
from popbench.ledger import opening
from popbench.ledger.ledger import Call, Done, Ledger, StageKey
from popbench.runs.status_reading import gpu_seconds, read_status

WRITE = StageKey("s", "t", "m", "write")
PAGE = 4096
BEGIN = """
import sys
from pathlib import Path
from popbench.errors import PopbenchError
from popbench.ledger.ledger import Call, Done, Ledger, StageKey
path, stage_key = Path(sys.argv[1]), StageKey("s", "t", "m", "write")
try:
    if (earlier := Ledger.peek(path)) is not None:
        earlier.close()
    ledger = Ledger(path)
    ledger.about("identity", "{}")
    for number in range(2):
        ledger.commit(Call(str(number), "write", "ok", {}), [Done(stage_key, str(number), 0, str(number), "ok", {})])
        print(number, flush=True)
    ledger.close()
except PopbenchError as error:
    sys.exit(str(error))
"""
"""Makes a ledger, or goes on with it, and commits two calls."""


def commit(ledger: Ledger, prompt: str = "p") -> None:
    ledger.commit(Call(prompt, "write", "ok", {}), [Done(WRITE, prompt, 0, prompt, "ok", {})])


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that lets calls fail, compiled here."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no compiler for the library that lets calls of files fail")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = Path(__file__).parents[1] / "support/file_faults.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def begin(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN, str(path)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", [0, errno.EIO, errno.ENOSPC], ids=["kill", "EIO", "ENOSPC"])
def test_whatever_call_a_ledger_s_making_is_ended_at_the_same_command_goes_on(
    tmp_path: Path, shim: Path, code: int
) -> None:
    folder = tmp_path / "0"
    folder.mkdir()
    begin(folder / "ledger.sqlite", LD_PRELOAD=str(shim), POPBENCH_FAULT=f"{folder}:0:0")
    calls = int((tmp_path / "0.calls").read_text())
    assert calls > 30
    for number in range(1, calls + 1, 3 if code else 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "ledger.sqlite"
        ended = begin(path, LD_PRELOAD=str(shim), POPBENCH_FAULT=f"{folder}:{number}:{code}")
        assert "Traceback" not in ended.stderr, (number, ended.stderr)
        assert code or ended.returncode < 0, number
        again = begin(path)
        assert again.returncode == 0, (number, again.stderr)
        with closing(Ledger(path)) as ledger:
            assert ledger.count(WRITE, 1) == (2, 2), number
        shutil.rmtree(folder)


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """A ledger as a kill of the first releases left it while it was made, with the journal that takes it back."""
    path, work = tmp_path / "ledger.sqlite", tmp_path / "work.sqlite"
    with closing(sqlite3.connect(work, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN")
        db.execute("CREATE TABLE calls (key TEXT)")
        db.executemany("INSERT INTO calls VALUES (?)", [("x" * 2000,)] * 50)
        shutil.copy(work, path)
        shutil.copy(f"{work}-journal", f"{path}-journal")
    return path


def test_a_ledger_whose_making_was_killed_by_an_earlier_release_is_made_anew(unfinished: Path) -> None:
    assert Ledger.peek(unfinished) is None
    with closing(Ledger(unfinished)) as ledger:
        commit(ledger)
        assert ledger.count(WRITE, 1) == (1, 1)
    assert not Path(f"{unfinished}-journal").exists()


def test_a_journal_that_names_another_file_is_not_carried_out(unfinished: Path, tmp_path: Path) -> None:
    victim = tmp_path / "precious"
    victim.write_text("kept")
    with Path(f"{unfinished}-journal").open("ab") as journal:
        name = str(victim).encode()
        journal.write(b"\0\0\0\1" + name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big"))
        journal.write(opening._SUPER_JOURNAL)
    with pytest.raises(UsageError, match="its journal names another file"):
        Ledger(unfinished)
    assert victim.read_text() == "kept"


def test_what_a_killed_making_left_under_other_names_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for name in (".ledger.sqlite.part", ".ledger.sqlite.part-wal", "ledger.sqlite-journal", "ledger.sqlite-wal"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".ledger.sqlite.part-journal").write_bytes(b"what was left")
    with closing(Ledger(path)) as ledger:
        commit(ledger)
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.sqlite"]


# -- other processes


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    return path


def test_a_ledger_that_another_process_holds_is_waited_for(made: Path) -> None:
    told: list[str] = []
    with closing(sqlite3.connect(made, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        end = threading.Timer(2, lambda: other.execute("ROLLBACK"))
        end.start()
        with closing(Ledger(made, tell=told.append)) as ledger:
            other.execute("BEGIN IMMEDIATE")
            end = threading.Timer(2, lambda: other.execute("ROLLBACK"))
            end.start()
            commit(ledger)
            assert ledger.count(WRITE, 1) == (1, 1)
        end.join()
    assert told == [f"{made}: another process holds the ledger: waiting up to 60 seconds for it"] * 2


def test_a_ledger_that_stays_held_is_told_as_held_and_not_as_damaged(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", 0.1)
    held = r"another process holds it: wait for that or end it, then give the same command again"
    with (
        closing(Ledger(made, tell=lambda _: None)) as ledger,
        closing(sqlite3.connect(made, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UsageError, match=held):
            Ledger(made)
        with pytest.raises(RunError, match=held):
            commit(ledger)
        other.execute("ROLLBACK")
        commit(ledger)
        assert ledger.count(WRITE, 1) == (1, 1)


# -- damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faults.install()
    path = tmp_path_factory.mktemp("whole") / "run"
    popbench_runs.run_fast(path, limit=12)
    with closing(sqlite3.connect(path / "ledger.sqlite")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def swap(data: bytearray, page: int) -> None:
    here, after = page * PAGE, (page + 1) % (len(data) // PAGE) * PAGE
    data[here : here + PAGE], data[after : after + PAGE] = data[after : after + PAGE], data[here : here + PAGE]


def flip(data: bytearray, page: int) -> None:
    draw = random.Random(page)
    used = [at for at in range(page * PAGE, (page + 1) * PAGE) if data[at]] or [page * PAGE]
    for at in draw.choices(used, k=12):
        data[at] ^= draw.randrange(1, 256)


def zero(data: bytearray, page: int) -> None:
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def cut(data: bytearray, page: int) -> None:
    del data[page * PAGE + PAGE // 2 :]


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [swap, flip, zero, cut])
def test_whatever_page_is_damaged_commands_say_so_or_go_on(
    spoil: Callable[[bytearray, int], None], whole: Path, tmp_path: Path
) -> None:
    data = (whole / "ledger.sqlite").read_bytes()
    told: list[str] = []
    for page in range(len(data) // PAGE):
        run = Path(shutil.copytree(whole, tmp_path / str(page)))
        spoilt = bytearray(data)
        spoil(spoilt, page)
        (run / "ledger.sqlite").write_bytes(spoilt)
        for call in (read_status, gpu_seconds, lambda run: popbench_runs.run_fast(run, limit=12)):
            try:
                call(run)
            except PopbenchError as error:
                told.append(str(error))
    assert told
    assert all(len(line.splitlines()) == 1 and "ledger" in line for line in told)


def test_a_result_whose_call_is_gone_is_told_as_damage(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db, db:
        db.execute("DELETE FROM calls WHERE stage = 'write'")
    with pytest.raises(RunError, match=r"of a call that is not there.*restore a copy, or move the run away"):
        popbench_runs.run_fast(run, limit=12)

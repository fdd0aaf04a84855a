"""What reading a ledger leaves in its folder, and where it can be read."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from popbench.errors import UsageError
from popbench.ledger.ledger import Call, Done, Ledger, StageKey

KEPT: list[int] = []
"""Open descriptors: closing one would drop the locks that SQLite has on its file."""
WRITE = StageKey("s", "t", "m", "write")


def commit(ledger: Ledger, prompt: str) -> None:
    ledger.commit(Call(prompt, "write", "ok", {}), [Done(WRITE, prompt, 0, prompt, "ok", {})])


def begin(path: Path) -> Ledger:
    """Open a ledger for writing, with one draft in it."""
    ledger = Ledger(path)
    ledger.about("identity", "{}")
    commit(ledger, "p")
    return ledger


def peek(path: Path) -> Ledger:
    found = Ledger.peek(path)
    assert found is not None
    return found


def peek_patiently(path: Path, writer: subprocess.Popen[bytes]) -> Ledger:
    """Wait until the writer has a draft."""
    while writer.poll() is None:
        ledger = Ledger.peek(path)
        if ledger is not None and ledger.count(WRITE, 1) == (1, 1):
            return ledger
        if ledger is not None:
            ledger.close()
        time.sleep(0.01)
    raise AssertionError("the writer ended")


def overwrite(file: Path, data: bytes) -> bytes:
    """Change the beginning of a file in place, and return what was there."""
    descriptor = os.open(file, os.O_RDWR)
    KEPT.append(descriptor)
    before = os.pread(descriptor, len(data), 0)
    os.pwrite(descriptor, data, 0)
    return before


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    path = tmp_path / "run/ledger.sqlite"
    path.parent.mkdir()
    begin(path).close()
    assert list(files(path)) == ["ledger.sqlite"]
    return path


def test_reading_a_ledger_that_nobody_writes_leaves_no_file_beside_it(ended: Path) -> None:
    before = files(ended)
    with closing(peek(ended)) as ledger:
        assert ledger.count(WRITE, 1) == (1, 1)
    assert files(ended) == before


def test_merging_leaves_no_file_beside_the_ledger_that_is_taken_over(ended: Path, tmp_path: Path) -> None:
    before = files(ended)
    with closing(Ledger(tmp_path / "whole.sqlite")) as whole:
        whole.merge(ended)
        assert whole.count(WRITE, 1) == (1, 1)
    assert files(ended) == before


def test_a_ledger_that_cannot_be_read_gets_no_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(begin(path)) as ledger:
        ledger._change("UPDATE about SET value = '9' WHERE name = 'schema'", ())
    before = files(path)
    with pytest.raises(UsageError, match="written by another popbench"):
        Ledger.peek(path)
    assert files(path) == before


def test_a_writer_that_ends_while_it_is_read_leaves_its_log_to_the_reader_to_remove(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = begin(path)
    with closing(peek(path)) as reader:
        assert reader.count(WRITE, 2) == (1, 1)
        commit(writer, "q")
        writer.close()
        assert reader.count(WRITE, 2) == (2, 2)
    assert list(files(path)) == ["ledger.sqlite"]
    with closing(peek(path)) as reader:
        assert reader.count(WRITE, 2) == (2, 2)


def test_a_reader_takes_no_log_from_a_writer_at_work(ended: Path) -> None:
    reader = peek(ended)
    with closing(Ledger(ended)) as writer:
        reader.close()
        commit(writer, "q")
        with closing(peek(ended)) as other:
            assert other.count(WRITE, 2) == (2, 2)
        commit(writer, "r")
    assert list(files(ended)) == ["ledger.sqlite"]
    with closing(peek(ended)) as reader:
        assert reader.count(WRITE, 3) == (3, 3)


@pytest.mark.parametrize("log", [True, False], ids=["with commits", "without commits"])
def test_reading_what_a_kill_left_changes_no_file(ended: Path, log: bool) -> None:
    killed = ended.parent.with_name("killed") / "ledger.sqlite"
    killed.parent.mkdir()
    with closing(Ledger(ended)) as writer:
        if log:
            commit(writer, "q")
        for file in ended.parent.glob("ledger.sqlite*"):
            (killed.parent / file.name).write_bytes(file.read_bytes())
    before = files(killed)
    assert len(before) == 3
    assert bool(before["ledger.sqlite-wal"]) == log
    with closing(peek(killed)) as reader:
        assert reader.count(WRITE, 2) == (1 + log, 1 + log)
    assert files(killed) == before


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A ledger in a folder in which this process may make no file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ledger.sqlite"
        begin(path).close()
        folder.chmod(0o555)
        root = os.geteuid() == 0  # who may write anywhere
        if root:
            os.seteuid(65534)
        try:
            yield path
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_ledger_in_a_read_only_folder_is_read(read_only: Path) -> None:
    with pytest.raises(PermissionError):
        read_only.with_name("file").touch()
    with closing(peek(read_only)) as ledger:
        assert ledger.count(WRITE, 1) == (1, 1)
    assert list(files(read_only)) == ["ledger.sqlite"]


def test_a_reader_waits_while_another_process_makes_the_index_anew(tmp_path: Path) -> None:
    """As a process does that opens a ledger after a kill: for a moment the index is empty."""
    path = tmp_path / "ledger.sqlite"
    code = "import sys, pathlib, test_readers; kept = test_readers.begin(pathlib.Path(sys.argv[1])); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stdin=subprocess.PIPE,
    )
    try:
        index = path.with_name("ledger.sqlite-shm")
        with closing(peek_patiently(path, writer)) as ledger:
            made = overwrite(index, bytes(136))
            restore = threading.Timer(0.3, overwrite, (index, made))
            restore.start()
            assert ledger.count(WRITE, 1) == (1, 1)
            assert not restore.is_alive(), "the index was not missed"
            restore.join()
    finally:
        writer.communicate(b"\n", timeout=60)

"""Accidents of `popbench leaderboard add`: a full disk, a kill and two at once leave a whole board."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import made_boards
from command_line import Run
from made_boards import submissions, tree
from popbench.publishing import lock
from popbench.publishing.add import add


def test_a_full_disk_leaves_the_board_as_it_was(run: Run, board: Path, made: Path) -> None:
    before = tree(board)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # a submission fits, index.html does not
    try:
        done = run("add", "board", made / "one")
        first = run("add", "new", made / "one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert done.status == 1
    assert done.line == "popbench: board/index.html: cannot be written (File too large)"
    assert tree(board) == before
    assert first.status == 1
    assert run("add", "new", made / "one").status == 0


@pytest.mark.slow
def test_a_board_whose_add_was_killed_is_mended_by_the_next(run: Run, board: Path, made: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(board, tmp_path / "whole"))
    assert run("add", "whole", made / "one").status == 0
    before = tree(board)
    code = f"import made_boards; made_boards.add_and_die({str(board)!r}, {str(made / 'one')!r}, 2)"
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(made_boards.__file__).parent, timeout=120, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert tree(board) != before
    assert tree(board) != tree(whole)
    done = run("add", "board", made / "one")
    assert (done.status, done.err) == (0, "")
    assert tree(board) == tree(whole)


def test_what_a_killed_add_had_not_finished_writing_is_cleared_away(run: Run, board: Path, made: Path) -> None:
    for name in (".index.html.part", "submissions/.new.json.part"):
        (board / name).write_text("half")
    assert run("check", "board").status == 0
    assert run("add", "board", made / "one").status == 0
    assert not list(board.rglob("*.part"))


def test_two_runs_can_be_added_at_once(run: Run, made: Path, tmp_path: Path) -> None:
    """The folder's lock excludes whoever opened it himself, in this process or in another."""
    board, ready = tmp_path / "board", threading.Barrier(2)

    def submit(name: str) -> str:
        ready.wait(30)
        return add(board, made / name).file.name

    with ThreadPoolExecutor(2) as pool:
        names = list(pool.map(submit, ("one", "two")))
    assert sorted(names) == [path.name for path in submissions(board)]
    done = run("check", "board")
    assert (done.err, done.out) == ("", "board: ok: 3 systems, 2 submissions\n")
    assert [name for name in tree(board) if Path(name).name.startswith(".")] == [".gitattributes"]


def test_a_board_that_another_process_keeps_is_told(
    run: Run, board: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.1)
    with lock.held(board):
        assert run("add", "board", made / "one").line == (
            "popbench: board is in use by another process: try again when it is done"
        )
    assert run("check", "board").status == 0

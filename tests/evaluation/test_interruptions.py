"""Kills, interrupts, full disks and second processes: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import popbench_runs
from popbench.errors import PopbenchError
from popbench.runs.directory import HOLDER

LIMITED = [
    "eval", "--limit", "6", "--llm", "counting", "--gen", "counting,width=96,height=64", "--predictor", "counting",
    "--corpus", "demo", "--out", "run",
]  # fmt: skip
KILLS = 20


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """Return what a run comes to without interruptions, and how many seconds its calls take."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = popbench_runs.start(LIMITED, folder)
    started = _first_commit(folder / "run", process, set())
    process.join(60)
    assert process.exitcode == 0, (folder / "stderr.txt").read_text()
    return popbench_runs.outcome(folder / "run"), time.monotonic() - started


def _first_commit(run: Path, process: Any, before: set[str]) -> float:
    """Wait until the process has committed something new, or has ended; return when."""
    deadline = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        if popbench_runs.committed(run) - before:
            break
        time.sleep(0.002)
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_stopped_at_random_moments_loses_nothing_and_repeats_nothing(
    how: signal.Signals, tmp_path: Path, uninterrupted: tuple[dict[str, Any], float]
) -> None:
    expected, seconds = uninterrupted
    random_ = random.Random(int(how))
    stops = rounds = 0
    while stops < KILLS:
        folder = tmp_path / f"round-{rounds}"
        rounds += 1
        assert rounds <= KILLS, "the runs end before they can be stopped"
        starts = 0
        while True:
            before = popbench_runs.committed(folder / "run")
            log = folder / f"asked-{starts}.txt"
            starts += 1
            process = popbench_runs.start(LIMITED, folder, log)
            _first_commit(folder / "run", process, before)
            # A run is stopped a few times on its way, so each stop comes after a share of what is left.
            process.join(random_.uniform(0, seconds / 2) if stops < KILLS else None)
            if process.is_alive():
                assert process.pid is not None
                with suppress(ProcessLookupError):  # it has come to its end in this moment
                    os.kill(process.pid, how)
                    stops += 1
            process.join(60)
            asked = log.read_text().split() if log.exists() else []
            assert len(asked) == len(set(asked)), "one start asked for one item twice"
            assert not before & set(asked), "a committed call was repeated"
            if process.exitcode == 0:
                break
            assert process.exitcode in (-how, 130), (folder / "stderr.txt").read_text()
        assert popbench_runs.outcome(folder / "run") == expected
        assert not list((folder / "run").rglob("*.part"))
        if how == signal.SIGINT and starts > 1:
            assert "To go on: popbench eval --limit 6" in (folder / "stderr.txt").read_text()
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_others_end_says_how_to_go_on(how: signal.Signals, tmp_path: Path) -> None:
    """Slurm sends SIGTERM at a time limit, a terminal that is closed SIGHUP."""
    process = popbench_runs.start(LIMITED, tmp_path)
    _first_commit(tmp_path / "run", process, set())
    os.kill(process.pid or 0, how)
    process.join(60)
    assert process.exitcode == 128 + how, (tmp_path / "stderr.txt").read_text()
    assert "interrupted; finished work is kept. To go on: popbench eval" in (tmp_path / "stderr.txt").read_text()
    assert not (tmp_path / "run" / HOLDER).exists()


@pytest.mark.slow
def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    from popbench.errors import UsageError

    process = popbench_runs.start([*LIMITED[:-1], "held"], tmp_path)
    _first_commit(tmp_path / "held", process, set())
    os.kill(process.pid or 0, signal.SIGSTOP)
    try:
        with pytest.raises(UsageError, match=rf"in use by process {process.pid} on .*, since .*: wait for it"):
            popbench_runs.run_fast(tmp_path / "held", task="popcorn")
    finally:
        os.kill(process.pid or 0, signal.SIGCONT)
        process.join(60)
    assert process.exitcode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_a_resume_works_once_there_is_room(small_disk: Path, in_tmp: Path) -> None:
    out = small_disk / "run"
    arguments = ["eval", "--llm", "verbatim", "--gen", "counting", "--predictor", "demo", "--mode", "basic"]
    arguments += ["--limit", "30", "--corpus", "demo", "--out", str(out)]
    process = popbench_runs.start(arguments, in_tmp / "first")
    process.join(60)
    said = (in_tmp / "first" / "stderr.txt").read_text().splitlines()
    assert process.exitcode == 1, said
    assert "No space left on device" in said[-1] or "database or disk is full" in said[-1], said
    assert not [line for line in said if line.startswith("Traceback")]
    before = popbench_runs.committed(out)
    assert before
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    log = in_tmp / "asked.txt"
    process = popbench_runs.start(arguments, in_tmp / "second", log)
    process.join(60)
    assert process.exitcode == 0, (in_tmp / "second" / "stderr.txt").read_text()
    assert not before & set(log.read_text().split())


@pytest.mark.parametrize("size", ["20k", "100k", "300k"])
def test_a_disk_without_room_is_told_so_and_the_same_command_goes_on(small_disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(small_disk)], check=True)
    with pytest.raises(PopbenchError, match=r"then give the same command again|No space left") as caught:
        popbench_runs.run_fast(small_disk / "run")
    assert str(small_disk / "run") in str(caught.value)
    assert "another --out" not in str(caught.value)
    assert not (small_disk / "run" / HOLDER).exists()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert popbench_runs.run_fast(small_disk / "run").complete


def test_a_directory_that_cannot_be_written_is_one_line(small_disk: Path) -> None:
    from popbench.errors import UsageError

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UsageError, match=r"no run directory can be kept here .*choose another --out"):
        popbench_runs.run_fast(small_disk / "run")

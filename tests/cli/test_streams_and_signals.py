"""Standard streams that are closed, broken or not UTF-8, many signals at once, and too little memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import popbench_runs
from popbench.cli._process import out_of_memory

EVAL = [
    "eval", "--limit", "2", "--llm", "shotlist", "--llm", "verbatim", "--gen", "kinetic,width=64,height=64", "--mode",
    "basic", "--corpus", "demo", "--task", "popcorn_concrete", "--out", "run",
]  # fmt: skip
POPBENCH = f"{sys.executable} -m popbench"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, so that the command has only to show it."""
    folder = tmp_path_factory.mktemp("finished")
    process = popbench_runs.start(EVAL, folder)
    process.join(100)
    assert process.exitcode == 0, (folder / "stderr.txt").read_text()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize("arguments", [EVAL, ["status", "run"], ["plugins"]], ids=lambda arguments: arguments[0])
def test_output_that_is_not_utf8_is_shown_with_replacements(
    finished: Path, encoding: str, arguments: list[str]
) -> None:
    done = shell(f"{POPBENCH} {' '.join(arguments)}", finished, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert b"kinetic" in done.stdout


def test_a_title_that_the_terminal_cannot_show_ends_no_command(tmp_path: Path) -> None:
    rows = "".join(f"猫{system},t,p{n},{n + 1}\n" for system in "ab" for n in range(3))
    (tmp_path / "scores.csv").write_text(f"system,task,prompt_id,popularity\n{rows}", encoding="utf-8")
    line = f"{POPBENCH} leaderboard build scores.csv --out board"
    done = shell(line, tmp_path, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert b"?a" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "status"),
    [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 1), ("2>/dev/full", 0), ("> >(true)", None),
     ("2> >(true)", 0)],
)  # fmt: skip
def test_a_stream_that_is_closed_or_breaks_ends_no_work(tmp_path: Path, redirection: str, status: int | None) -> None:
    done = shell(f"{POPBENCH} {' '.join(EVAL)} {redirection}", tmp_path)
    assert done.returncode in ((0, 1) if status is None else (status,)), done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert {"run.json", "ledger.sqlite", "samples.jsonl", "results.json"} <= {
        file.name for file in (tmp_path / "run").iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_many_signals_in_a_row_are_one_interruption(tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["60" if argument == "2" else argument for argument in EVAL]
    process = popbench_runs.start(arguments, tmp_path)
    deadline = time.monotonic() + 60
    while not popbench_runs.committed(tmp_path / "run") and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(20):
        if process.is_alive():
            os.kill(process.pid or 0, number)
        time.sleep(0.005)
    process.join(60)
    told = (tmp_path / "stderr.txt").read_text()
    assert process.exitcode == 128 + number, told
    assert [line for line in told.splitlines() if line.startswith("popbench:")] == [told.splitlines()[-1]]
    assert "interrupted; finished work is kept. To go on: popbench eval" in told
    assert "Traceback" not in told
    assert popbench_runs.committed(tmp_path / "run")


@pytest.mark.parametrize(
    ("error", "memory"),
    [(MemoryError(), True), (ImportError("libx.so: failed to map segment from shared object"), True),
     (RuntimeError("can't start new thread"), True), (ImportError("No module named 'x'"), False)],
)  # fmt: skip
def test_what_libraries_say_without_memory_is_known(error: Exception, memory: bool) -> None:
    assert out_of_memory(error) is memory


def test_colons_in_names_are_no_emoji(tmp_path: Path) -> None:
    rows = "".join(f"a:fire:{system},t,p{n},{n + 1}\n" for system in "bc" for n in range(3))
    (tmp_path / "scores.csv").write_text(f"system,task,prompt_id,popularity\n{rows}", encoding="utf-8")
    done = shell(f"{POPBENCH} leaderboard build scores.csv --out board:x:y", tmp_path, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert b"a:fire:b" in done.stdout
    assert b"board:x:y" in done.stdout

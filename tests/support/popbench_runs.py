"""Runs popbench in this process or in a child process, and compares the results."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import popbench

FAST: dict[str, Any] = {
    "llm": "faulty",
    "gen": "faulty",
    "predictor": "faulty",
    "mode": "basic",
    "task": "popcorn_concrete",
    "corpus": "demo",
    "limit": 5,
}
"""A run that takes milliseconds."""


def samples(run: Path) -> list[dict[str, Any]]:
    """Read a run's samples without their timings."""
    rows = []
    for line in (run / "samples.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        row = json.loads(line)
        del row["seconds"]
        rows.append(row)
    return rows


def outcome(run: Path) -> dict[str, Any]:
    """Return everything of a run that must not depend on engine, interruptions or time."""
    return {
        "samples": samples(run),
        "results": json.loads((run / "results.json").read_text(encoding="utf-8")),
        "board": (run / "leaderboard.md").read_text(encoding="utf-8"),
        "clips": {path.name: path.read_bytes() for path in (run / "videos").glob("*.mp4")},
    }


def committed(run: Path) -> set[str]:
    """Return the keys of the calls in a ledger, also while another process writes it."""
    path = run / "ledger.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as ledger:
        try:
            keys = {str(row[0]) for row in ledger.execute("SELECT key FROM calls")}
        except sqlite3.OperationalError:  # the table is not there yet
            keys = set()
    ledger.close()
    return keys


def run_fast(out: Path, **changes: Any) -> popbench.Run:
    """Evaluate FAST with changes into `out`."""
    return popbench.evaluate(**{**FAST, **changes}, out=out)


def _child(arguments: Sequence[str], folder: str, log: str, environment: Mapping[str, str]) -> None:
    import faults

    os.chdir(folder)
    os.environ.clear()  # of the moment at which the server of forks was started
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as has one under nohup
    os.environ[faults.LOG] = log
    faults.install()
    sys.stderr = Path("stderr.txt").open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - the process's own
    sys.stdout = Path("stdout.txt").open("a", encoding="utf-8")  # noqa: SIM115
    sys.argv = ["popbench", *arguments]
    from popbench.cli import console

    console()


_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["popbench.evaluation.evaluate", "popbench.cli.eval", "popbench.progress.live", "popbench.leaderboard.terminal",
     "av", "datasets", "torch", "faults", "popbench_runs", "popbench_openai.calls"]
)  # fmt: skip


def start(arguments: Sequence[str], folder: Path, log: Path | None = None) -> multiprocessing.process.BaseProcess:
    """Start the command line in a child process, with everything imported already."""
    folder.mkdir(parents=True, exist_ok=True)
    process = _CONTEXT.Process(target=_child, args=(list(arguments), str(folder), str(log or ""), dict(os.environ)))
    process.start()
    return process


def by_prompt(run: Path, system: str) -> dict[str, dict[str, Any]]:
    """Return the samples of a system by their prompts' ids."""
    return {row["prompt_id"]: row for row in samples(run) if row["system"] == system}

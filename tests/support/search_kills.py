"""Kills searches at random moments and checks that each comes to what one without kills does, and repeats nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import faults
import knob_world
from popbench.keys import clip_name


def run(command: Sequence[str], log: Path, kill_at: int | None = None) -> int:
    """Run a command in a process, which is killed once it has made so many requests. Returns its status."""
    environment = {**os.environ, faults.LOG: str(log), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.with_suffix(".txt").open("w", encoding="utf-8") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "knob_world", *command], env=environment, stdout=subprocess.DEVNULL, stderr=told
        )
        while kill_at is not None and process.poll() is None:
            if len(requests(log)) >= kill_at:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        return process.wait(300)


def requests(log: Path) -> list[str]:
    """Return the keys of all requests that components were sent."""
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def clips(out: Path) -> set[str]:
    """Return the keys of all clips that were rendered, of the search and of the proof."""
    found: set[str] = set()
    for name in ("search", "proof"):
        if (out / name / "ledger.sqlite").exists():
            with closing(sqlite3.connect(out / name / "ledger.sqlite")) as ledger:
                found |= {key for (key,) in ledger.execute("SELECT key FROM calls WHERE stage = 'render'")}
    return found


def outcome(out: Path) -> dict[str, Any]:
    """Return what a search has come to, without times."""
    content = json.loads((out / "optimize.json").read_text(encoding="utf-8"))
    return {"lineage": (out / "lineage.jsonl").read_text(encoding="utf-8"), "content": content, "clips": clips(out)}


def check(folder: Path, kills: int, seed: int, budget: int = 160, n: int = 90) -> list[int]:
    """Kill a search on its way, and compare it with one that is not killed; return the requests of each start.

    Raises AssertionError if anything was repeated that had been committed, or came out otherwise.
    """
    random_ = random.Random(seed)
    expected_log = folder / "expected.log"
    command = knob_world.command(folder, clips=budget, n=n)
    whole = [*command[:-1], str(folder / "whole")]
    assert run(whole, expected_log) == 0, expected_log.with_suffix(".txt").read_text(encoding="utf-8")
    expected, total = outcome(folder / "whole"), len(requests(expected_log))
    out, counts, limit = folder / "o", list[int](), int(expected["content"]["budget"]["limit"])
    before: set[str] = set()
    for number in range(kills + 1):
        log = folder / f"{number}.log"
        # Each kill comes after a share of what is left, so that all of them come before the end.
        left = max(2, (total - sum(counts)) // max(1, (kills - number) // 2))
        status = run(command, log, random_.randrange(1, left) if number < kills else None)
        asked = requests(log)
        counts.append(len(asked))
        assert len(asked) == len(set(asked)), "one start asked for one thing twice"
        assert not before & set(asked), "a clip that was there was rendered again"
        before = clips(out)
        assert len(before) <= limit, "the budget was passed"
        assert status in (0, -signal.SIGKILL), log.with_suffix(".txt").read_text(encoding="utf-8")
    found = outcome(out)
    assert _same(found["content"]) == _same(expected["content"])
    assert found["lineage"] == expected["lineage"]
    assert found["clips"] == expected["clips"]
    folders = [out / name / "videos" for name in ("search", "proof")]
    assert all(any((videos / clip_name(key)).exists() for videos in folders) for key in before)
    return counts


def _same(content: dict[str, Any]) -> dict[str, Any]:
    """Leave out the name of the directory."""
    best = content["best"] and {**content["best"], "mode": None}
    proof = content["proof"] and {**content["proof"], "systems": None}
    return {**content, "best": best, "proof": proof}

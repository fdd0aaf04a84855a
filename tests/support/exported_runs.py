"""Runs for tests of export and comparison, with functions that change their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import popbench
import popbench_runs
from popbench.leaderboard.results import compute
from popbench.scores.scores import merge
from popbench.scores.sources import read_source

Change = Callable[[dict[str, Any]], None]

TRAVELS = ("demo", "tasks", "predictors", "limited", "systems", "pairs", "enhancement", "minimum_detectable_win_rate")
"""What a board of exported scores has in common with the board of the run."""


def real_run(out: Path, **changes: Any) -> popbench.Run:
    """A run of two systems on a group of two tasks with two repeats; one sample is invalid, none is a demo's."""
    faults.install()  # a fixture of a module comes before those of its tests
    more = {"llm": ["faulty", "counting"], "gen": "faulty,fault=refusal", "task": "popcorn", "limit": 6, "repeats": 2}
    return popbench_runs.run_fast(out, **{**more, **changes})


def board(*sources: Path, common: bool = False) -> dict[str, Any]:
    return compute(merge([scores for path in sources for scores in read_source(path)]), common=common)


def travelled(results: dict[str, Any]) -> dict[str, Any]:
    return {name: results[name] for name in TRAVELS}


def edit_about(run: Path, change: Change) -> None:
    """Change a run's run.json."""
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    change(about)
    (run / "run.json").write_text(json.dumps(about), encoding="utf-8")


def edit_samples(run: Path, change: Change, *, only: int | None = None) -> None:
    """Change the samples of a run, or one of them."""
    path = run / "samples.jsonl"
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    for number, sample in enumerate(samples):
        if only in (None, number):
            change(sample)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")


def second_predictor(run: Path) -> None:
    """Add a second predictor to a run, with very different scores for the same samples."""

    def know(about: dict[str, Any]) -> None:
        about["predictors"]["second"] = "2" * 32
        about["units"]["second"] = "views"

    def score(sample: dict[str, Any]) -> None:
        known = sample["popularity"]
        sample["scores"]["second"] = known and 1000 / known

    edit_about(run, know)
    edit_samples(run, score)

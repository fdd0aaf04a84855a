"""Runs with odd labels for tests of trackers, a tracker that keeps what it gets, and one that fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import made_boards
import popbench
from popbench.hookspecs import Register
from popbench.registry import Plugin, load_registry

LABELS = ("org/model:free", "雨の夜 (v1)")
ROWS = made_boards.ROWS[:4]


def odd_run(out: Path, **changes: Any) -> Path:
    """Run two LLMs with labels in which anything stands on four prompts, and judge by two predictors."""
    llms = [f"shotlist,label={LABELS[0]}", f"verbatim,label={LABELS[1]}"]
    predictors = ["faulty", "sound,label=sound of/it"]
    return made_boards.evaluate(
        out, ROWS, **{"llm": llms, "predictor": predictors, "gen": "kinetic,frames=2", **changes}
    )


def board_numbers(run: Path) -> dict[tuple[str, ...], float]:
    """Return the numbers of a run's results.json that trackers have to have, by statistic, table and system."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    numbers: dict[tuple[str, ...], float | None] = {}
    for row in results["systems"]:
        of = (row["task"], row["predictor"], row["system"])
        for name in ("median", "bradley_terry", "rank"):
            for end in ("value", "low", "high"):
                numbers[(name if end == "value" else f"{name}_{end}", *of)] = (row[name] or {}).get(end)
        for name in ("mean_win_rate", "compliance"):
            low, high = row[f"{name}_interval"] or (None, None)
            numbers |= {(name, *of): row[name], (f"{name}_low", *of): low, (f"{name}_high", *of): high}
        numbers |= {(name, *of): row[name] for name in ("n", "invalid", "errors")}
    for row in results["pairs"]:
        pair = (row["task"], row["predictor"], row["a"], row["b"])
        for end in ("value", "low", "high"):
            numbers[("win_rate" if end == "value" else f"win_rate_{end}", *pair)] = row["win_rate"][end]
    return {key: float(value) for key, value in numbers.items() if value is not None}


class Keeping(popbench.Tracker):
    """Keeps what it gets."""

    version = "1"
    runs: ClassVar[list[popbench.TrackedRun]] = []
    files: ClassVar[dict[str, bytes]] = {}

    def track(self, run: popbench.TrackedRun) -> str:
        self.runs.append(run)
        self.files.update({path.name: path.read_bytes() for path in (run.board, run.results, run.samples)})
        return f"kept {run.name}"


class Failing(popbench.Tracker):
    """Fails with what a library might say."""

    version = "1"

    def track(self, run: popbench.TrackedRun) -> str:
        raise OSError("no route to https://user:hunter2@example.org/api?x=1\nfor sk-abcdefgh12345678")


class Lacking(popbench.Tracker):
    """Lacks a key."""

    version = "1"

    def check(self) -> list[str]:
        return ["a key is needed: give it in LACKING_API_KEY"]

    def track(self, run: popbench.TrackedRun) -> str:
        raise AssertionError("it is never called")


@popbench.hookimpl
def register_trackers(register: Register) -> None:
    register("keeping", Keeping)
    register("failing", Failing)
    register("lacking", Lacking)


def install() -> None:
    """Register these trackers in this process, once."""
    registry = load_registry()
    if not any(plugin.name == "tracked-runs" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("tracked-runs", "popbench-tracked-runs", "1", __name__))
    Keeping.runs.clear()
    Keeping.files.clear()

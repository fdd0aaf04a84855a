"""Trackers that break one rule each."""

from __future__ import annotations

from typing import Any

import popbench


class Silent(popbench.Tracker):
    "Says nothing of where a run is."

    version = "1"

    def track(self, run: popbench.TrackedRun) -> Any:
        return None


class Once(popbench.Tracker):
    "Takes a run once."

    version = "1"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._taken: set[str] = set()

    def track(self, run: popbench.TrackedRun) -> str:
        if run.id in self._taken:
            raise KeyError(run.id)
        self._taken.add(run.id)
        return run.name


class Greedy(popbench.Tracker):
    "Looks for the best number of every run."

    version = "1"

    def track(self, run: popbench.TrackedRun) -> str:
        return f"{run.name}: {max(metric.value for metric in run.metrics)}"


class Signing(popbench.Tracker):
    "Signs the board that it is handed."

    version = "1"

    def track(self, run: popbench.TrackedRun) -> str:
        run.board.write_text("signed", encoding="utf-8")
        return run.name

"""The progress of a run on the terminal: bars where there is one, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from popbench.progress import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID


def make_progress() -> Progress:
    """Choose by whether standard error is a terminal; standard output is left for results."""
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)


class Bars(Progress):
    """A bar per stage with counts, rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._bars.start()

    def stage(self, name: str, total: int, done: int) -> None:
        """Begin a bar."""
        self._started, self._here = time.monotonic(), 0
        self._task = self._bars.add_task(name, total=total, completed=done, rate="")

    def advance(self, count: int = 1) -> None:
        """Move the current bar."""
        if self._task is None:
            return
        self._here += count
        rate = self._here / max(time.monotonic() - self._started, 1e-9)
        self._bars.update(self._task, advance=count, rate=f"{rate:.1f}/s")

    def problem(self, line: str) -> None:
        """Print above the bars."""
        self._bars.console.print(line, style="red", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()


class Lines(Progress):
    """A line when a stage begins, every ten seconds, and when it is done."""

    interval = 10.0

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._name = ""
        self._total = self._done = self._before = 0

    def stage(self, name: str, total: int, done: int) -> None:
        """Print what is to do."""
        self._name, self._total, self._done, self._before = name, total, done, done
        self._started = self._printed = time.monotonic()
        kept = f", {done} already done" if done else ""
        self._print(f"{name}: {total} items{kept}")

    def advance(self, count: int = 1) -> None:
        """Print now and then."""
        self._done += count
        now = time.monotonic()
        finished = self._done >= self._total
        if not finished and now - self._printed < self.interval:
            return
        self._printed = now
        rate = (self._done - self._before) / max(now - self._started, 1e-9)
        left = "" if finished else f", {(self._total - self._done) / rate:.0f} s left"
        self._print(f"{self._name}: {self._done}/{self._total}, {rate:.1f}/s{left}")

    def problem(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=self._file, flush=True)

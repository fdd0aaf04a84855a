"""The progress of a run on the terminal: bars where there is one, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from popbench.errors import counted
from popbench.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task, TaskID

Clock = Callable[[], float]
"""Seconds since some moment."""


def make_progress() -> Progress:
    """Choose by whether standard error is a terminal; standard output is left for results."""
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)


def pace(settled: int, left: int, gone: float) -> str:
    """Say how fast a stage goes: `1.3/s, 0:00:06 gone, 0:00:19 left`.

    The rate is over the whole stage: answers come in batches, and a stall has to show.
    """
    told = [f"{_duration(gone)} gone"]
    if settled > 0 and gone > 0:
        rate = settled / gone
        told.insert(0, f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min")
        if left > 0:
            told.append(f"{_duration(left / rate)} left")
    return ", ".join(told)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


class Bars(Progress):
    """A bar per stage with counts, rate and time left."""

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class Pace(ProgressColumn):
            """Goes on between answers, so that a stall is seen, and stays as it is when the stage is over."""

            def render(self, task: Task) -> Text:
                here, left = int(task.completed) - task.fields["before"], task.remaining or 0
                gone = task.finished_time if task.finished else task.elapsed
                return Text(pace(here, int(left), gone or 0.0) if here or left else "")

        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),  # leaves room for the rest on 80 columns
            MofNCompleteColumn(),
            Pace(Column(no_wrap=True)),
            console=console or Console(stderr=True),
            get_time=clock,
        )
        self._task: TaskID | None = None

    def stage(self, name: str, total: int, done: int) -> None:
        """Begin a bar; the one before has ended, also where it is not full."""
        self._bars.start()
        self._end()
        self._task = self._bars.add_task(name, total=total, completed=done, before=done)

    def advance(self, count: int = 1, stage: str | None = None) -> None:  # noqa: ARG002
        """Move the current bar."""
        if self._task is not None:
            self._bars.update(self._task, advance=count)

    def notice(self, line: str) -> None:
        """Print above the bars."""
        self._bars.console.print(line, style="yellow", markup=False, highlight=False)

    def problem(self, line: str) -> None:
        """Print above the bars."""
        self._bars.console.print(line, style="red", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bars as they are."""
        self._end()
        self._bars.stop()

    def _end(self) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None


class Lines(Progress):
    """A line when a stage begins, every ten seconds, and when it is done."""

    interval = 10.0

    def __init__(self, file: TextIO, clock: Clock = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._name = ""
        self._total = self._done = self._before = 0
        self._started = self._printed = clock()

    def stage(self, name: str, total: int, done: int) -> None:
        """Print what is to do."""
        self._name, self._total, self._done, self._before = name, total, done, done
        self._started = self._printed = self._clock()
        kept = f", {done} already done" if done else ""
        self._print(f"{name}: {counted(total, 'item')}{kept}")

    def advance(self, count: int = 1, stage: str | None = None) -> None:  # noqa: ARG002
        """Print now and then; an answer that settles nothing, to be asked again, comes with a count of 0."""
        self._done += count
        now = self._clock()
        finished = count > 0 and self._done >= self._total
        if not finished and now - self._printed < self.interval:
            return
        self._printed = now
        told = pace(self._done - self._before, self._total - self._done, now - self._started)
        self._print(f"{self._name}: {self._done}/{self._total}, {told}")

    def notice(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def problem(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=self._file, flush=True)

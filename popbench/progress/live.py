"""The progress of a run on the terminal: a table of its stages where there is one, plain lines where there is none."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from popbench.progress.base import Progress
from popbench.progress.console import make_console
from popbench.progress.stages import Row, spending, table, time_left, totals, words
from popbench.text import counted, visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.live import Live

Clock = Callable[[], float]
"""Seconds since some moment."""

RATE_SECONDS = 300.0
"""Seconds that a rate is over: a model that took long to load does not count for ever."""
_RATE_ITEMS = 5
"""Items that a rate is over at least, however long they took."""


def make_progress() -> Shown:
    """Choose by whether standard error is a terminal; standard output is left for results."""
    return Bars() if sys.stderr.isatty() else Lines(sys.stderr)


@dataclass(slots=True)
class _Stage:
    """A stage and how it came to where it is."""

    name: str
    total: int
    done: int
    began: float
    before: int = field(init=False)
    ended: float | None = None
    named: bool = True
    """Without its name it can only be moved on until another one begins."""
    workers: int = 0
    gpu_seconds: float = 0.0
    usd: float = 0.0
    moved: bool = False
    """Whether something came since a line told of it."""
    _past: deque[tuple[float, int]] = field(default_factory=deque)
    """Moments and what was done by then, a second apart at least."""

    def __post_init__(self) -> None:
        self.before = self.done
        self._past.append((self.began, self.done))

    @property
    def full(self) -> bool:
        """Whether there is nothing left to settle."""
        return self.done >= self.total

    def advance(self, count: int, now: float) -> None:
        """Settle more."""
        self.done += count
        self.moved = True
        if len(self._past) > 1 and now - self._past[-2][0] < 1:
            self._past.pop()
        self._past.append((now, self.done))

    def end(self, now: float) -> None:
        """Stand still from now on."""
        self.ended = now if self.ended is None else self.ended

    def row(self, now: float) -> Row:
        """Return it as it stands."""
        gone = (now if self.ended is None else self.ended) - self.began
        rate = self._rate(now) if self.ended is None else _ratio(self.done - self.before, gone)
        return Row(
            name=self.name,
            done=self.done,
            total=self.total,
            over=self.ended is not None,
            rate=rate,
            left=time_left(self.done, self.total, rate) if self.ended is None else 0.0,
            took=gone if self.done > self.before or not self.full else None,
            workers=self.workers,
            gpu_seconds=self.gpu_seconds,
            usd=self.usd,
        )

    def _rate(self, now: float) -> float | None:
        """Return items a second. It falls while nothing comes: answers come in batches, and a stall has to show."""
        past = self._past
        while len(past) > 1 and past[1][0] <= now - RATE_SECONDS and self.done - past[1][1] >= _RATE_ITEMS:
            past.popleft()
        return _ratio(self.done - past[0][1], now - past[0][0])


def _ratio(count: int, seconds: float) -> float | None:
    return count / seconds if count > 0 and seconds > 0 else None


class Shown(Progress):
    """Keeps what is told of stages; subclasses show it. Told and looked at from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._stages: dict[str, _Stage] = {}
        self._last: _Stage | None = None
        self.spent = ""
        """What it came to when it was closed: `3.2 GPU-hours, $0.53`, or nothing."""

    def stage(self, name: str, total: int, done: int) -> None:
        """Begin it; one before that is moved on without its name is over."""
        with self._lock:
            if self._last is not None and not self._last.named:
                self._end(self._last)
            self._stages.pop(name, None)
            self._stages[name] = self._last = _Stage(name, total, done, self._clock())
            self._begun(self._last)
            self._moved(self._last)

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        """Move a stage on; an answer that settles nothing, to be asked again, comes with a count of 0."""
        with self._lock:
            found = self._last if stage is None else self._stages.get(stage)
            if found is not None and found.ended is None:
                found.named = stage is not None
                found.advance(count, self._clock())
                self._moved(found)

    def resize(self, total: int, stage: str) -> None:
        """Count on with another total."""
        with self._lock:
            if (found := self._stages.get(stage)) is not None:
                found.total = total
                if found.full:
                    self._end(found)

    def spend(self, stage: str, *, gpu_seconds: float = 0.0, usd: float = 0.0) -> None:
        """Add it up."""
        with self._lock:
            if (found := self._stages.get(stage)) is not None:
                found.gpu_seconds += gpu_seconds
                found.usd += usd

    def workers(self, count: int, stage: str) -> None:
        """Keep their number."""
        with self._lock:
            if (found := self._stages.get(stage)) is not None:
                found.workers = count

    def finish(self, stage: str) -> None:
        """Have its clock stand still."""
        with self._lock:
            if (found := self._stages.get(stage)) is not None:
                self._end(found)

    def close(self) -> None:
        """End what was not finished."""
        with self._lock:
            now = self._clock()
            for stage in self._stages.values():
                stage.end(now)
            self.spent = spending([stage.row(now) for stage in self._stages.values()]) or self.spent

    def _begun(self, stage: _Stage) -> None:
        """Show that a stage begins."""

    def _over(self, stage: _Stage) -> None:
        """Show that a stage is over."""

    def _step(self) -> None:
        """Show that something moved, if it is time."""

    def _moved(self, stage: _Stage) -> None:
        if stage.full and stage.ended is None:
            self._end(stage)
        else:
            self._step()

    def _end(self, stage: _Stage) -> None:
        if stage.ended is None:
            stage.end(self._clock())
            self._over(stage)

    def _rows(self) -> tuple[list[Row], str]:
        """Return all stages, and what they come to."""
        now = self._clock()
        stages = list(self._stages.values())
        until = max((now if stage.ended is None else stage.ended for stage in stages), default=now)
        rows = [stage.row(now) for stage in stages]
        return rows, totals(rows, until - min((stage.began for stage in stages), default=now))


class Bars(Shown):
    """A table that stays in its place: a line per stage, and one of totals below; all else is told above it."""

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console or make_console(stderr=True)
        self._live: Live | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the stages as they stand; done several times a second, in a thread of rich's."""
        from rich.text import Text

        with self._lock:
            rows, told = self._rows()
        shown = rows if self._live is None else _fitting(rows, console.height - 4)
        yield table(shown, options.max_width)
        more = f"and {counted(len(rows) - len(shown), 'more stage')}; " if len(shown) < len(rows) else ""
        yield Text(more + told, style="dim", no_wrap=True, overflow="ellipsis")

    # What prints must not hold the lock: the thread that draws has rich's own, and waits for this one.
    def notice(self, line: str) -> None:
        """Print above the table."""
        self._console.print(line, style="yellow", markup=False, highlight=False)

    def problem(self, line: str) -> None:
        """Print above the table."""
        self._console.print(line, style="red", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the table as it is."""
        super().close()
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        self._stages.clear()

    def _begun(self, stage: _Stage) -> None:  # noqa: ARG002
        """Draw from now on: a request that is refused leaves the terminal as it was."""
        if self._live is None:
            from rich.live import Live

            self._live = Live(self, console=self._console, refresh_per_second=4)
            self._live.start()


def _fitting(rows: Sequence[Row], most: int) -> list[Row]:
    """Choose the stages that a low terminal has room for: those at work before those that are over."""
    over = [row for row in rows if row.over]
    hidden = over[: max(len(rows) - most, 0)]
    return [row for row in rows if row not in hidden][: max(most, 1)]


class Lines(Shown):
    """A line when a stage begins, when it is over, and every ten seconds one for all that moved."""

    interval = 10.0

    def __init__(self, file: TextIO, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._file = file
        self._printed = clock()

    def notice(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def problem(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def _begun(self, stage: _Stage) -> None:
        self._printed = self._clock()
        kept = f", {stage.done} already done" if stage.done else ""
        self._print(f"{stage.name}: {counted(stage.total, 'item')}{kept}")

    def _over(self, stage: _Stage) -> None:
        if stage.moved or not stage.full:
            self._print(words(stage.row(self._clock())))

    def _step(self) -> None:
        now = self._clock()
        moved = [stage for stage in self._stages.values() if stage.moved and stage.ended is None]
        if not moved or now - self._printed < self.interval:
            return
        self._printed = now
        told = [words(stage.row(now)) for stage in moved]
        for stage in moved:
            stage.moved = False
        if spent := spending([stage.row(now) for stage in self._stages.values()]):
            told.append(f"{spent} so far")
        self._print("; ".join(told))

    def _print(self, line: str) -> None:
        print(visible(line), file=self._file, flush=True)

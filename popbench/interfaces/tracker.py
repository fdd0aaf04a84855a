"""What a run is handed over to when it is finished: experiment trackers such as MLflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from popbench.interfaces.component import Component
from popbench.options import Options, runtime

_Options = Options


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a board: `statistic` of a system, with the ends of its interval where it has one.

    `of` says what it is about: the table (task, predictor) and its system, or two systems that are compared; nothing
    for a number of the whole run. The number is as results.json has it.
    """

    statistic: str
    of: tuple[str, ...]
    value: float
    low: float | None = None
    high: float | None = None

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name: `median`, and where there is an interval, `median_low` and `median_high`."""
        named = {self.statistic: self.value, f"{self.statistic}_low": self.low, f"{self.statistic}_high": self.high}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class TrackedClip:
    """A clip of a run: an mp4 file, and what it belongs to."""

    path: Path
    system: str
    task: str
    prompt_id: str
    repeat: int
    title: str
    popularity: float | None


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A finished run, as trackers get it: without credentials and without folders of this machine.

    `id` is the same whenever the same run directory is tracked, and no other's. `params` are settings, by name.
    `state` is `complete`, or says what is missing. `board` (leaderboard.md), `results` (results.json) and `samples`
    (Parquet, a row for each sample and predictor) are files that are there until `track` returns; `clips` are in the
    order of prompts, all systems of a prompt together.
    """

    id: str
    name: str
    demo: bool
    state: str
    params: Mapping[str, str | int | float | bool]
    metrics: tuple[Metric, ...]
    board: Path
    results: Path
    samples: Path
    clips: tuple[TrackedClip, ...] = field(default=())


class TrackerOptions(Options):
    """The options of a tracker that takes clips; subclass it to add others."""

    clips: int = runtime(24, ge=0, description="clips to hand over at most, whole prompts first; 0 for none")


class Tracker(Component, ABC):
    """Receives finished runs: `popbench eval --track NAME`, `popbench track RUN --to NAME`.

    >>> import popbench
    >>> class Diary(popbench.Tracker):
    ...     "Keeps a line of each run, here."
    ...
    ...     version = "1"
    ...     lines = {}
    ...
    ...     def track(self, run):
    ...         self.lines[run.id] = f"{run.name}: {len(run.metrics)} numbers"
    ...         return f"a line of {run.name}"
    """

    kind = "tracker"
    Options: ClassVar[type[_Options]] = TrackerOptions

    @abstractmethod
    def track(self, run: TrackedRun) -> str:
        """Store a run and return where it is now, in a line such as `run 3f2 of experiment cats in mlruns`.

        A run with an `id` that is stored already has grown, or was given again: bring what is stored up to date, or
        store another run beside it, but never leave the numbers of both in one. Raises any exception if that fails: the
        run itself is finished and kept, and the command ends with exit status 1.
        """

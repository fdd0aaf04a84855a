"""What a run's status is: how far each component is, and whether the run is at work, finished or stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from popbench.ledger.ledger import StageName
from popbench.records import JSON

ENOUGH = 5
"""Items in the last minutes that are enough for a rate over them; with fewer, the rate is over the last hour."""
SILENT = 300.0
"""Seconds without a result after which a run at work counts as stalled, if five items usually take less."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A component's share of a run: items, items a second, seconds, USD; None for unknown."""

    stage: StageName
    component: str
    done: int
    total: int
    invalid: int
    rate: float | None = None
    """Items a second over the last minutes, of a run at work."""
    mean_rate: float | None = None
    """Items a second since the run was started last."""
    gpu_seconds: float = 0.0
    usd: float | None = None
    unpriced: bool = False
    """Whether its calls said what they took, and what that costs is unknown."""
    submitted: int = 0
    """Jobs that were submitted elsewhere and are not finished."""

    @property
    def left(self) -> int:
        """The items that are not settled."""
        return self.total - self.done

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the rate of the last minutes."""
        return 0.0 if not self.left else self.left / self.rate if self.rate else None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a run. `holder` is the process that has it now; `last` is when it settled an item last (unix time).

    `gpu_seconds` and `usd` are the sums over all calls in the directory, including those of earlier commands.
    """

    path: Path
    finished: bool
    holder: str | None
    started: float
    last: float | None
    now: float
    stages: tuple[StageStatus, ...]
    gpu_seconds: float = 0.0
    usd: float | None = None
    notes: tuple[str, ...] = ()
    killed: bool = False
    """Whether the process that had a stopped run ended without closing it."""

    @property
    def silent(self) -> float:
        """Seconds since the run settled an item, or was started if that is later."""
        return max(self.now - max(self.started, self.last or 0.0), 0.0)

    @property
    def stalled(self) -> bool:
        """Whether a run at work has been silent for much longer than it usually is."""
        rate = sum(stage.mean_rate or 0.0 for stage in self.stages)
        usual = ENOUGH / rate if rate else 0.0
        return self.holder is not None and any(stage.left for stage in self.stages) and self.silent > max(SILENT, usual)

    @property
    def state(self) -> str:
        """`at work`, `stalled`, `stopped`, `finished`, or `incomplete`: at its end without all results."""
        if self.holder is not None:
            return "stalled" if self.stalled else "at work"
        left = any(stage.left for stage in self.stages)
        return "stopped" if not self.finished else "incomplete" if left else "finished"

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the slowest stage takes; None if one of them is unknown, or if no process is at work."""
        left = [stage.seconds_left for stage in self.stages]
        estimates = [seconds for seconds in left if seconds is not None]
        return max(estimates, default=0.0) if len(estimates) == len(left) else None

    def as_json(self) -> dict[str, JSON]:
        """Return it as JSON values; times are in unix time."""
        stages = [{**asdict(stage), "seconds_left": stage.seconds_left} for stage in self.stages]
        for stage in stages:  # there `usd` is null
            del stage["unpriced"]
            if not stage["submitted"]:
                del stage["submitted"]
        return {
            "run": str(self.path),
            "state": self.state,
            "holder": self.holder,
            "started": self.started,
            "last_commit": self.last,
            "seconds_left": self.seconds_left,
            "gpu_seconds": self.gpu_seconds,
            "usd": self.usd,
            "notes": list(self.notes),
            "stages": stages,
        }

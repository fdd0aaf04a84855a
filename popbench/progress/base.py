"""What a run tells while it works: counts per stage. This class says nothing; `make_progress` makes one that does."""

from __future__ import annotations


class Progress:
    """Receives the progress of a run, from one thread at a time. Several stages may be under way at once."""

    def stage(self, name: str, total: int, done: int) -> None:
        """A stage begins: `total` items, of which `done` are there from earlier runs."""

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        """Say that `count` more items of a stage are settled; without a name, of the one that began last."""

    def resize(self, total: int, stage: str) -> None:
        """Say that a stage has another number of items: what an earlier one found invalid never gets to it."""

    def spend(self, stage: str, *, gpu_seconds: float = 0.0, usd: float = 0.0) -> None:
        """Say what a stage has taken on top of what was told before."""

    def workers(self, count: int, stage: str) -> None:
        """Say how many processes work for a stage now."""

    def finish(self, stage: str) -> None:
        """A stage is over, also where not all of it is settled."""

    def notice(self, line: str) -> None:
        """Tell of something that is good to know of the whole run, in one line."""

    def problem(self, line: str) -> None:
        """Tell of something that went wrong and did not end the run, in one line."""

    def close(self) -> None:
        """Everything is told."""

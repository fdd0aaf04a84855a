"""The interface for the progress of work. The class here shows nothing; `make_progress` makes one that does."""

from __future__ import annotations


class Progress:
    """Receives the progress of work, from one thread at a time. Several stages may run at once."""

    def stage(self, name: str, total: int, done: int) -> None:
        """Begin a stage of `total` items, of which `done` are there from earlier runs."""

    def advance(self, count: int = 1, stage: str | None = None) -> None:
        """Count more items of a stage as done; without a name, of the stage that began last."""

    def resize(self, total: int, stage: str) -> None:
        """Set a stage's number of items: those that an earlier stage found invalid never reach it."""

    def spend(self, stage: str, *, gpu_seconds: float = 0.0, usd: float = 0.0) -> None:
        """Add GPU time and costs to those of a stage."""

    def workers(self, count: int, stage: str) -> None:
        """Set the number of processes that work for a stage."""

    def finish(self, stage: str) -> None:
        """End a stage, even if not all of its items are done."""

    def notice(self, line: str) -> None:
        """Show a remark on the whole work, in one line."""

    def problem(self, line: str) -> None:
        """Show a problem that does not end the work, in one line."""

    def close(self) -> None:
        """End the display."""

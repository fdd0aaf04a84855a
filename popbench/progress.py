"""What a run tells while it works: counts per stage. The base class says nothing; `popbench.cli` shows it."""

from __future__ import annotations


class Progress:
    """Receives the progress of a run."""

    def stage(self, name: str, total: int, done: int) -> None:
        """A stage begins: `total` items, of which `done` are there from earlier runs."""

    def advance(self, count: int = 1) -> None:
        """Say that `count` more items of the stage are settled."""

    def notice(self, line: str) -> None:
        """Tell of something that is good to know of the whole run, in one line."""

    def problem(self, line: str) -> None:
        """Tell of something that went wrong and did not end the run, in one line."""

    def close(self) -> None:
        """Everything is told."""


def make_progress() -> Progress:
    """Make one that shows itself on standard error: bars where that is a terminal, plain lines where it is none."""
    from popbench.cli import _progress

    return _progress.make_progress()

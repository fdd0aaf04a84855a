"""Calls trackers with a finished run, one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from popbench.credentials import CREDENTIAL
from popbench.errors import PopbenchError, UsageError, one_line
from popbench.interfaces import Tracker
from popbench.registry import load_registry
from popbench.tracking.describe import described

_USER = re.compile(r"(?<=://)[^\s/@]+@")


@dataclass(frozen=True, slots=True)
class Tracked:
    """What came of handing a run to a tracker: a line of where it is now, or of what went wrong."""

    tracker: str
    line: str
    failed: bool = False


class Trackers:
    """The trackers that specs describe.

    >>> with_one = Trackers(["mlflow,uri=mlruns"])  # doctest: +SKIP
    >>> [tracked.line for tracked in with_one.track(Path("runs/popcorn-02767b01"))]  # doctest: +SKIP
    """

    def __init__(self, specs: Sequence[str]) -> None:
        """Make the trackers; raises UsageError, before any work, for unknown names and for what one lacks here."""
        registry = load_registry()
        self._trackers: list[tuple[str, Tracker]] = []
        for spec in dict.fromkeys(specs):
            resolved = registry.resolve("tracker", spec)
            tracker: Tracker = resolved.component
            self._trackers.append((spec, tracker))
            try:
                lacks = tracker.check()
            except Exception as error:  # of another's plugin
                lacks = [f"its check failed ({_without_secrets(error)})"]
            if lacks:
                raise UsageError("\n".join(f"tracker {resolved.spec.label}: {line}" for line in lacks))

    def track(self, path: Path) -> Iterator[Tracked]:
        """Hand the run in a directory to each tracker and yield what came of it; an error of one ends no other.

        Raises UsageError if the run is not finished, has no board or is damaged, RunError if a disk refuses.
        """
        if not self._trackers:
            return
        with described(path) as run:
            for spec, tracker in self._trackers:
                try:
                    line = tracker.track(run)
                    yield Tracked(spec, one_line(f"{line}"))
                except Exception as error:  # of a library, of the network, of another's plugin
                    shown = one_line(error if isinstance(error, PopbenchError) else _without_secrets(error))
                    yield Tracked(spec, shown, failed=True)
                finally:
                    with suppress(Exception):
                        tracker.close()


def _without_secrets(error: Exception) -> str:
    return CREDENTIAL.sub("…", _USER.sub("", one_line(error)))

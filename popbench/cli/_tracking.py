"""Hands a run over to trackers and tells what came of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.progress.console import tell

if TYPE_CHECKING:
    from popbench.tracking.track import Trackers


def handed_over(trackers: Trackers, run: Path, *, err: bool = False) -> bool:
    """Hand a run over and tell what came of it, on stderr with `err`; return whether all trackers have it."""
    good = True
    for tracked in trackers.track(run):
        if tracked.failed:
            good = False
            again = shlex.join(["popbench", "track", str(run), "--to", tracked.tracker])
            tell(
                f"popbench: tracker {tracked.tracker}: {tracked.line}; the run itself is kept. To try again: {again}",
                err=True,
            )
        else:
            tell(f"{tracked.tracker.partition(',')[0]}: {tracked.line}", err=err)
    return good

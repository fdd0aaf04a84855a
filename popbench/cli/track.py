"""`popbench track`: hands a finished run over to experiment trackers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popbench.cli.eval import SPEC
from popbench.progress.console import tell

if TYPE_CHECKING:
    from popbench.tracking.track import Trackers


@click.command("track")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", "trackers", metavar=SPEC, multiple=True, required=True, help="Tracker; repeat for several.")
def command(run: Path, trackers: tuple[str, ...]) -> int:
    """Hand a finished run over to MLflow, Weights & Biases, Trackio or a plugin's tracker.

    They get its settings, all numbers of its board with their intervals, leaderboard.md, results.json, the table of
    samples and clips; no credentials, and no folders of this machine. A run that has grown can be handed over again.

    \b
    Examples:
      popbench track runs/popcorn-02767b01 --to mlflow
      popbench track runs/popcorn-02767b01 --to mlflow,uri=http://127.0.0.1:5000,clips=100 --to trackio
    """
    from popbench.tracking.track import Trackers

    return 0 if handed_over(Trackers(trackers), run) else 1


def handed_over(trackers: Trackers, run: Path, *, err: bool = False) -> bool:
    """Hand a run over and tell what came of it, on stderr with `err`; return whether all trackers have it."""
    good = True
    for tracked in trackers.track(run):
        if tracked.failed:
            good = False
            again = f"popbench track {run} --to {tracked.tracker}"
            tell(
                f"popbench: tracker {tracked.tracker}: {tracked.line}; the run itself is kept. To try again: {again}",
                err=True,
            )
        else:
            tell(f"{tracked.tracker.partition(',')[0]}: {tracked.line}", err=err)
    return good

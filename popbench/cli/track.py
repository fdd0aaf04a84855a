"""`popbench track`: hands a finished run over to experiment trackers."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.cli._tracking import handed_over
from popbench.cli.eval import SPEC


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

"""`popbench predictor`: what is done to predictors themselves. How to train one is its plugin's business."""

from __future__ import annotations

import click

from popbench.cli import LazyGroup

GROUP = "popbench.predictor_commands"
BUILT_IN = {"audit": "Find out what moves the scores of a run: its titles or its videos."}


@click.group(
    "predictor", cls=LazyGroup, built_in=BUILT_IN, modules="popbench.cli._", entry_points=GROUP, summarise=True
)
def command() -> None:
    """Train and import popularity predictors, and audit what moves their scores."""

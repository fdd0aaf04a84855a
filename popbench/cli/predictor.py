"""`popbench predictor`: the group of commands on predictors. Plugins add those that train one."""

from __future__ import annotations

import click

from popbench.cli import LazyGroup

GROUP = "popbench.predictor_commands"
BUILT_IN = {
    "audit": "Find out what moves the scores of a run: its titles or its videos.",
    "push": "Push a trained predictor to the Hugging Face hub, as a model.",
}


@click.group(
    "predictor", cls=LazyGroup, built_in=BUILT_IN, modules="popbench.cli._", entry_points=GROUP, summarise=True
)
def command() -> None:
    """Train, import and push popularity predictors, and audit what moves their scores."""

"""Trackers of popbench: MLflow, Weights & Biases, Trackio. Their libraries are imported when a run is handed over."""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_trackers(register: Register) -> None:
    """Register `mlflow`, `wandb` and `trackio`."""
    register("mlflow", "popbench_trackers.mlflow_runs:MLflow")
    register("wandb", "popbench_trackers.wandb_runs:WandB")
    register("trackio", "popbench_trackers.trackio_runs:Trackio")

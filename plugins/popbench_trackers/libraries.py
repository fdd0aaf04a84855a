"""Says whether a tracker's library is there and recent enough, and imports it without telemetry."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_OLDEST: Mapping[str, tuple[int, int]] = {"mlflow": (3, 1), "trackio": (0, 40), "wandb": (0, 28)}
_DISTRIBUTIONS = {"mlflow": ("mlflow", "mlflow-skinny"), "trackio": ("trackio",), "wandb": ("wandb",)}
_ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # of 7, with which a server that is not there costs minutes
    "GIT_PYTHON_REFRESH": "quiet",  # mlflow's import needs no git
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""Set where the user has not set them otherwise."""


def missing(name: str) -> list[str]:
    """Return that a library is not installed or too old, with how to get it. Imports nothing."""
    found = None
    for distribution in _DISTRIBUTIONS[name]:
        try:
            found = version(distribution)
            break
        except PackageNotFoundError:
            continue
    install = f'pip install "popbench[{name}]" (in a clone: pip install -e ".[{name}]")'
    if found is None:
        return [f"{name} is not installed: {install}"]
    if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < _OLDEST[name]:
        return [f"{name} {found} is too old: {install}"]
    return []


def library(name: str) -> Any:
    """Import a library, without telemetry of its own."""
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    return import_module(name)  # a checker of types would follow it for minutes


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a block, and put it back."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before

"""Options that several commands have: specs of components, and what holds for the work of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from popbench.cli._completion import names_of

Command = TypeVar("Command", bound=Callable[..., Any])
SPEC = "NAME[,KEY=VALUE]..."


def component(option: str, kind: str, help: str, argument: str = "", **more: Any) -> Callable[[Command], Command]:  # noqa: A002 - as click's
    """Return an option that takes the spec of a component, a mode or a task; a shell completes its name.

    It goes to the function's argument of its name, or to `argument`.
    """
    names = [option, argument] if argument else [option]
    return click.option(*names, metavar=SPEC, shell_complete=names_of(kind), help=help, **more)


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):  # click's range accepts nan
        raise click.BadParameter(f"{value} is no number of USD.", context, parameter)
    return value


seed = click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Seed of all draws.  [default: 42]")
engine = component("--engine", "engine", "Where components run.  [default: local]")
concurrency = click.option(
    "--concurrency", type=click.IntRange(min=1), metavar="N", help="Requests at once, for models that take several."
)
max_cost = click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    callback=_finite,
    metavar="USD",
    help="Ask no more when all calls so far and those under way would cost more.",
)
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
config_file = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Take settings from a TOML or JSON file, such as a run.json.",
)

"""`popbench compare`: compares two runs, system by system."""

from __future__ import annotations

import json
from pathlib import Path

import click

from popbench.progress.console import make_console

_PATH = click.Path(path_type=Path, exists=True)


@click.command("compare")
@click.argument("before", metavar="RUN_A", type=_PATH)
@click.argument("after", metavar="RUN_B", type=_PATH)
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="ID[=ID]",
    help="Compare this system only, or this one of RUN_A with that one of RUN_B.  [default: those of one id]",
)
@click.option("--common", is_flag=True, help="Restrict to the prompts that all compared systems have in both runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def command(before: Path, after: Path, systems: tuple[str, ...], common: bool, as_json: bool) -> int:
    """Did a change help? The paired differences of the systems that two runs share.

    RUN_A is before the change, RUN_B after it: run directories, or scores that `popbench export` wrote. For each system
    and task: how often RUN_B scores higher on the same prompt, with interval, verdict and p-value; medians, invalid
    samples, compliance and copies of both; and what differs between the runs, as far as they record it. Verdicts come
    from intervals that hold for all systems of a table at once; fewer than 10 prompts give none.

    \b
    Examples:
      popbench compare runs/before runs/after
      popbench compare runs/before runs/after --system "gpt-4o|pe|ltx"
      popbench compare runs/popcorn-02767b01 other-run --system "shotlist|pe|kinetic=shotlist|pe[k=50]|kinetic"
    """
    from popbench.comparison.numbers import compare_runs

    comparison = compare_runs(before, after, systems=systems, common=common)
    if as_json:
        click.echo(json.dumps(comparison, ensure_ascii=False))
        return 0

    from popbench.comparison.terminal import show

    show(comparison, make_console())
    return 0

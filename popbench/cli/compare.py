"""`popbench compare`: compares two runs, system by system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from popbench.cli._output_path import OutputPath
from popbench.progress.console import make_console

if TYPE_CHECKING:
    from popbench.comparison.gate import FailIf

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
@click.option(
    "--fail-if",
    type=click.Choice(["worse", "worse-or-undecided"]),
    help="End with status 1 if a system is worse, or is not decided to be better, in a primary table: for a lab's CI.",
)
@click.option(
    "--junit",
    type=OutputPath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --fail-if: write its outcome as JUnit XML too, a case for each system and table.",
)
def command(
    before: Path,
    after: Path,
    systems: tuple[str, ...],
    common: bool,
    as_json: bool,
    fail_if: FailIf | None,
    junit: Path | None,
) -> int:
    """Did a change help? The paired differences of the systems that two runs share.

    RUN_A is before the change, RUN_B after it: run directories, or scores that `popbench export` wrote. For each system
    and task: how often RUN_B scores higher on the same prompt, with interval, verdict and p-value; medians, invalid
    samples, compliance and copies of both; and what differs between the runs, as far as they record it. Verdicts come
    from intervals that hold for all systems of a table at once; fewer than 10 prompts give none.

    --fail-if looks at primary tables, whose verdicts all hold together: a change without any effect fails in at most 5
    of 100 comparisons with worse. It is made for two runs whose number of prompts was decided beforehand.

    \b
    Examples:
      popbench compare runs/before runs/after
      popbench compare runs/before runs/after --system "gpt-4o|pe|ltx"
      popbench compare runs/popcorn-02767b01 other-run --system "shotlist|pe|kinetic=shotlist|pe[k=50]|kinetic"
      popbench compare runs/main runs/branch --fail-if worse --junit compare.xml
    """
    from popbench.comparison.numbers import compare_runs

    if junit is not None and fail_if is None:
        raise click.UsageError("--junit belongs to --fail-if, which says what fails.")
    comparison = compare_runs(before, after, systems=systems, common=common)
    if as_json:
        click.echo(json.dumps(comparison, ensure_ascii=False))
    else:
        from popbench.comparison.terminal import show

        show(comparison, make_console())
    if fail_if is not None:
        from popbench.comparison.gate import failures, told, write_junit
        from popbench.errors import RunError

        if junit is not None:
            write_junit(junit, comparison, fail_if)
        if failed := failures(comparison, fail_if):
            raise RunError(told(failed, comparison))
    return 0

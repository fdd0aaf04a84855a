"""`popbench eval`: the main job."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import counted

if TYPE_CHECKING:
    from popbench.plan import Plan
    from popbench.run import Run

SPEC = "NAME[,KEY=VALUE]..."
REASONS = 3
"""How many reasons for invalid samples are told."""


@click.command("eval")
@click.option(
    "--llm",
    metavar=SPEC,
    multiple=True,
    help="Language model; repeat for several.  [default: verbatim, shotlist]",
)
@click.option("--gen", metavar=SPEC, multiple=True, help="Video generator; repeat for several.  [default: kinetic]")
@click.option(
    "--mode",
    metavar=SPEC,
    multiple=True,
    help="Prompt mode: basic, or pe with k=, tags= and other options.  [default: basic, pe]",
)
@click.option("--task", metavar=SPEC, multiple=True, help="Task, group, YAML file or folder.  [default: popcorn]")
@click.option(
    "--predictor",
    metavar=SPEC,
    multiple=True,
    help="Popularity predictor; repeat for several.  [default: demo]",
)
@click.option(
    "--corpus",
    metavar=SPEC,
    help="Where references come from.  [default: microlens; demo without --llm]",
)
@click.option("--embedder", metavar=SPEC, help="What finds references.  [default: all-MiniLM-L12-v2; hashing for demo]")
@click.option(
    "--baseline",
    metavar="human",
    multiple=True,
    help="Add human-made videos as the system `human`: per prompt the one with the nearest title.",
)
@click.option(
    "--allow-leakage",
    is_flag=True,
    default=None,
    help="Go on where a predictor was trained on what it judges by; boards say so.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Prompts per task, spread over its categories.")
@click.option("--repeats", type=click.IntRange(min=1), metavar="R", help="Samples per prompt.  [default: 1]")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Seed of all draws.  [default: 42]")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Run directory.  [default: named by tasks and seed, in runs/]",
)
@click.option("--engine", metavar=SPEC, help="Where components run.  [default: local]")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests at once, for models that take several.",
)
@click.option("--stop-after", type=click.Choice(["write", "render"]), help="Stop after this stage.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Take settings from a TOML or JSON file, such as a run.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of tables.")
def command(config: Path | None, dry_run: bool, as_json: bool, **given: Any) -> int:
    """Write, render and score videos for prompts, and rank the systems.

    A system is an LLM, a mode and a generator; every combination runs on every prompt. Finished work is kept:
    the same command goes on where it stopped, and another --llm, --gen or --predictor adds to what is there.

    \b
    Examples:
      popbench eval
      popbench eval --llm shotlist --gen kinetic,fps=12 --mode pe,k=20 --corpus demo --limit 10
      popbench eval --llm deepseek-r1 --gen ltx --baseline human --corpus microlens,path=MicroLens-100k
    """
    from popbench.api import execute, resolve_config
    from popbench.plan import make_plan

    plan = make_plan(resolve_config(given, config))
    if dry_run:
        from popbench.cli._dry_run import show_plan

        return show_plan(plan, as_json=as_json)
    from popbench.cli._progress import make_progress

    progress = make_progress()
    try:
        run = execute(plan, progress)
    except KeyboardInterrupt:
        progress.close()
        click.echo(f"popbench: interrupted; finished work is kept. To go on: {_again()}", err=True)
        return 130
    return _report(plan, run, as_json=as_json)


def _again() -> str:
    return shlex.join(["popbench", *sys.argv[1:]])


def _report(plan: Plan, run: Run, *, as_json: bool) -> int:
    if as_json:
        summary = {
            "run": str(run.path),
            "demo": run.demo,
            "complete": run.complete,
            "samples": run.n,
            "invalid": run.invalid,
            "errors": run.errors,
            "problems": list(run.problems),
            "costs": list(run.costs),
            "results": run.results,
        }
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(plan, run)
    if run.removed:
        files = " and ".join(run.removed)
        told = f"removed {files}: the samples now end before their scores; run without --stop-after to write them again"
        click.echo(f"popbench: {told}", err=True)
    if not run.complete:
        lack = f"{run.errors} of {counted(run.n, 'sample')} {'has' if run.errors == 1 else 'have'} no result"
        what = lack if run.errors else "; ".join(run.problems)
        click.echo(f"popbench: {what}; the same command tries them again: {_again()}", err=True)
        return 1
    return 0


def _show(plan: Plan, run: Run) -> None:
    from rich.console import Console

    from popbench.costs import sentences

    console = Console()
    results = run.results if plan.config.stop_after is None else None
    if results is not None:
        from popbench.leaderboard.terminal import show

        show(results, console)
    for line in sentences(run.costs):
        console.print(f"Drafts by {line}", markup=False, highlight=False, soft_wrap=True)
    told = f"{counted(run.n, 'sample')} in {run.path}: {', '.join(_files(run))}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    if run.invalid:
        style = "bold red" if run.invalid == run.n else "yellow"
        console.print(_invalid(run), style=style, markup=False, highlight=False, soft_wrap=True)


def _files(run: Run) -> Iterator[str]:
    for name in ("leaderboard.md", "results.json", "samples.jsonl"):
        if (run.path / name).exists():
            yield name
    if any((run.path / "videos").iterdir()):
        yield "videos"
    if run.logged:
        yield "errors.log"


def _invalid(run: Run) -> str:
    """Say how many samples are invalid and why, the commonest reasons first."""
    reasons = Counter(sample.error or "no reason given" for sample in run.samples() if sample.status == "invalid")
    shown = [f"{reason} ({count})" for reason, count in reasons.most_common(REASONS)]
    others = reasons.total() - sum(count for _, count in reasons.most_common(REASONS))
    if others:
        shown.append(f"{counted(len(reasons) - REASONS, 'other reason')} ({others})")
    verb = "is invalid and scores" if run.invalid == 1 else "are invalid and score"
    return f"{run.invalid} of {counted(run.n, 'sample')} {verb} 0: {'; '.join(shown)}"

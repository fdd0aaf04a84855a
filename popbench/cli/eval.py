"""`popbench eval`: writes, renders and scores videos for prompts, and ranks the systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.cli import _shared_options as shared
from popbench.cli._shared_options import component
from popbench.errors import UsageError

if TYPE_CHECKING:
    from popbench.planning.plan import Plan


@click.command("eval")
@component("--llm", "llm", "Language model; repeat for several.  [default: verbatim, shotlist]", multiple=True)
@component("--gen", "generator", "Video generator; repeat for several.  [default: kinetic]", multiple=True)
@component(
    "--mode",
    "mode",
    "Mode: basic, pe with k= and others, refine, best, few, one of the task, FILE.j2, or best-of-DIR.  "
    "[default: basic, pe]",
    multiple=True,
)
@component("--task", "task", "Task, group, YAML file or folder.  [default: popcorn]", multiple=True)
@component("--predictor", "predictor", "Popularity predictor; repeat for several.  [default: demo]", multiple=True)
@component("--corpus", "corpus", "Where references come from.  [default: microlens; demo without --llm]")
@component("--embedder", "embedder", "What finds references.  [default: all-MiniLM-L12-v2; hashing for demo]")
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
@click.option(
    "--shard",
    metavar="I/N",
    help="Of these prompts, every N-th from the I-th on, in a directory of its own: `popbench merge` joins the shards.",
)
@click.option("--repeats", type=click.IntRange(min=1), metavar="R", help="Samples per prompt.  [default: 1]")
@click.option(
    "--repeats-on",
    metavar="K%",
    help="Have these repeats on K percent of the prompts only, to tell how much is luck; the board is of the first.",
)
@shared.seed
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Run directory; that of a shard has its name after that.  [default: named by tasks and seed, in runs/]",
)
@shared.engine
@shared.concurrency
@click.option("--stop-after", type=click.Choice(["write", "render"]), help="Stop after this stage.")
@shared.max_cost
@click.option(
    "--until",
    metavar="GOAL",
    help="Take prompts in rounds until the `best` system is found, all pairs are `decided`, or intervals are narrow "
    "(`width=0.1`).",
)
@click.option(
    "--reference",
    metavar="SYSTEM",
    help="System that boards show win rates against, beside the mean one.  [default: human, else verbatim]",
)
@click.option(
    "--reuse",
    type=click.Path(path_type=str),
    metavar="RUN",
    multiple=True,
    help="Take what this run needs from another run's directory, where the same was asked there; repeat for several.",
)
@component(
    "--track",
    "tracker",
    "Hand the finished run over to a tracker: mlflow, wandb, trackio or a plugin's; repeat for several.",
    multiple=True,
)
@shared.dry_run
@shared.config_file
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
    from popbench.evaluation.evaluate import execute

    plan = planned(config, **given)
    trackers = None
    if plan.config.stop_after is not None and given["track"]:
        raise UsageError("--track needs the scores of a run: leave out --stop-after, or --track")
    if plan.config.stop_after is None and plan.config.track:
        from popbench.tracking.track import Trackers

        trackers = Trackers(plan.config.track)
    if dry_run:
        from popbench.cli._dry_run import show_plan

        return show_plan(plan, as_json=as_json)
    from popbench.cli._results import again, interruptible, show
    from popbench.progress.console import tell
    from popbench.text import counted

    run = interruptible(lambda progress: execute(plan, progress))
    if run is None:
        return 130
    paged = show(run, as_json=as_json, corpus=plan.config.corpus)
    if not run.n:
        tell(f"popbench: shard {plan.config.shard} is empty: there are fewer prompts than shards", err=True)
    if run.over_budget:
        tell(f"popbench: {run.over_budget}", err=True)
    elif not run.complete:
        lack = f"{run.errors} of {counted(run.n, 'sample')} {'has' if run.errors == 1 else 'have'} no result"
        what = lack if run.errors else "; ".join(run.problems)
        tell(f"popbench: {what}; the same command tries them again: {again()}", err=True)
    tracked = True
    if trackers is not None and run.results is None:
        tell("popbench: not tracked, since no prompt has all its scores: there is no board yet", err=True)
    elif trackers is not None:
        from popbench.cli._tracking import handed_over

        tracked = handed_over(trackers, run.path, err=as_json)
    return 0 if run.complete and paged and tracked else 1


def planned(config: Path | None, **given: Any) -> Plan:
    """Return the plan of an eval command with these options."""
    from popbench.planning.config import resolve_config
    from popbench.planning.resolve import make_plan

    return make_plan(resolve_config(given, config))

"""`popbench best`: makes several drafts and clips of one idea, and chooses the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.cli import _shared_options as shared
from popbench.cli._output_path import OutputPath
from popbench.cli._shared_options import component

if TYPE_CHECKING:
    from popbench.best.make import Best
    from popbench.best.outcome import Outcome
    from popbench.planning.plan import Plan


@click.command("best")
@click.argument("idea")
@component(
    "--llm",
    "llm",
    "Language model that writes the drafts.  [default: shotlist]",
    multiple=True,  # so that a second one is refused, and not taken in place of the first
)
@component("--gen", "generator", "Video generator.  [default: kinetic]", multiple=True)
@component("--mode", "mode", "How drafts are written, as in eval.  [default: basic]", multiple=True)
@component(
    "--predictor",
    "predictor",
    "What scores the clips; of several the first chooses, and the others are shown.  [default: demo]",
    multiple=True,
)
@click.option(
    "-n",
    "--n",
    "drafts",
    type=click.IntRange(1, 500),
    default=8,
    show_default=True,
    metavar="N",
    help="Drafts, each with a clip.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="R",
    help="Clips of each draft, by other seeds: from 2 on, they tell how much of the winner's lead is luck.",
)
@component("--task", "task", "Task whose templates and rules the drafts follow.  [default: popcorn]")
@component("--corpus", "corpus", "Where references come from, for modes that show some.")
@component("--embedder", "embedder", "What finds references.")
@shared.seed
@click.option(
    "--out",
    type=OutputPath(file_okay=False),
    metavar="DIR",
    help="Folder of the run and its result.  [default: named by the idea, in runs/]",
)
@shared.engine
@shared.concurrency
@shared.max_cost
@shared.dry_run
@shared.config_file
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, as best.json has it.")
def command(
    idea: str, drafts: int, repeats: int, config: Path | None, dry_run: bool, as_json: bool, **given: Any
) -> int:
    """Make N drafts and clips of one IDEA, and choose the clip that the predictor scores highest.

    It goes to best.mp4 in the run's folder, with its title and video prompt in best.json, and a page of all drafts,
    index.html. The highest of several scores is the highest in part by luck: --repeats renders each draft several
    times, and tells what the winner's lead is worth. Finished work is kept: the same command goes on where it
    stopped, and a higher N or R adds to what is there.

    \b
    Examples:
      popbench best "a cat learns to skate"
      popbench best "a cat learns to skate" --llm deepseek-r1 --gen ltx --predictor mmra --n 8 --repeats 3
    """
    from popbench.best.make import make_best, prepare
    from popbench.cli._results import interruptible
    from popbench.progress.console import tell
    from popbench.text import counted

    wanted = prepare(idea, drafts, repeats, given, config)
    if dry_run:
        from popbench.cli._dry_run import show_plan

        status = show_plan(wanted.plan(), as_json=as_json)
        if repeats > 1 and not as_json:
            tell(f"Then {counted(repeats - 1, 'more clip')} of each draft, by other seeds, would be made and scored.")
        return status
    best = interruptible(lambda progress: make_best(wanted, progress))
    if best is None:
        return 130
    return _show(best, as_json=as_json)


def planned(idea: str, drafts: int, repeats: int, config: Path | None, **given: Any) -> Plan:
    """Return the plan of a best command with these options."""
    from popbench.best.make import prepare

    return prepare(idea, drafts, repeats, given, config).plan()


def _show(best: Best, *, as_json: bool) -> int:
    from popbench.cli._results import again
    from popbench.progress.console import tell
    from popbench.text import counted

    run, outcome = best.run, best.outcome
    if outcome is not None:
        if as_json:
            result = {"folder": str(run.path), "complete": run.complete, **outcome.as_json()}
            click.echo(json.dumps(result, ensure_ascii=False))
        else:
            _print(outcome, run.path)
    if run.over_budget:
        tell(f"popbench: {run.over_budget}", err=True)
    elif not run.complete:
        lack = f"{run.errors} of {counted(run.n, 'sample')} {'has' if run.errors == 1 else 'have'} no result"
        tell(
            f"popbench: {lack if run.errors else '; '.join(run.problems)}; the same command tries again: {again()}",
            err=True,
        )
    elif outcome is None:
        why = "; ".join(f"{reason} ({count})" for reason, count in run.reasons[:3])
        tell(
            f"popbench: none of {counted(run.n, 'clip')} has a score: {why}; try another --llm, --gen or idea", err=True
        )
    return 0 if run.complete and outcome is not None else 1


def _print(outcome: Outcome, folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from popbench.best import words
    from popbench.leaderboard.shown import number
    from popbench.progress.console import make_console, tell

    several = any(len(draft.clips) > 1 for draft in outcome.drafts)
    table = Table()
    table.add_column("#", justify="right")
    table.add_column("title", overflow="fold")
    table.add_column(
        f"mean {outcome.predictors[0]['unit']}" if several else outcome.predictors[0]["unit"], justify="right"
    )
    if several:
        table.add_column("clips", overflow="fold")
    for rank, draft in enumerate(outcome.drafts[:20], 1):
        clips = [", ".join(number(float(clip.popularity or 0)) for clip in draft.clips)] if several else []
        table.add_row(str(rank), Text(draft.best.title or ""), number(outcome.of(draft)), *map(Text, clips))
    if len(outcome.drafts) > 1:
        make_console().print(table)
    for line in words.left_out(outcome):
        tell(f"{line}.")
    winner = outcome.winner
    lines = [f"Title: {winner.title}", f"Video prompt: {winner.video_prompt}"]
    lines += [f"{name}: {words.field(value)}" for name, value in winner.extra.items()]
    tell("\n".join(["", *lines, f"Score: {words.score(outcome)}", ""]))
    for line in [*words.worth(outcome), words.PREDICTED, *([words.DEMO] if outcome.demo else [])]:
        tell(line)
    tell(f"{folder}: best.mp4, best.json, index.html")

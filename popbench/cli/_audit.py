"""`popbench predictor audit`: what moves the scores of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from popbench.cli._shared_options import component
from popbench.progress.console import make_console, tell


@click.command("audit")
@click.argument("run", type=click.Path(path_type=Path))
@component(
    "--predictor", "predictor", "Predictor to audit; repeat for several.  [default: those of the run]", multiple=True
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Prompts per task, spread over its categories.")
@click.option(
    "--shuffles",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="R",
    help="How often titles and videos are swapped between samples.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=42, show_default=True, metavar="S", help="Seed of all draws."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(run: Path, predictor: tuple[str, ...], limit: int | None, shuffles: int, seed: int, as_json: bool) -> int:
    """Find out what moves the scores of RUN, a run directory: its titles or its videos.

    The samples are scored again with the titles or videos of other samples, an empty title, and black, reversed and
    still videos. How far the scores follow says how much of them comes from which; that goes to audit.json and
    audit.md, and onto the run's board. Win rates at equal titles, where all videos of a prompt are scored with the
    same titles, say which system wins by its videos alone. An audit takes 6 scores of each sample, and two for each
    shuffle. Of a predictor that uses other things than title and video, exactly these are swapped. Exit status 1 where
    the predictor ended early on a change.

    \b
    Examples:
      popbench predictor audit runs/popcorn-*
      popbench predictor audit runs/popcorn-* --limit 25 --shuffles 8
    """
    from popbench.audit.run import audit
    from popbench.leaderboard.audit_terminal import show
    from popbench.progress.live import make_progress

    progress = make_progress()
    try:
        result = audit(run, predictor, limit=limit, shuffles=shuffles, seed=seed, progress=progress)
    except KeyboardInterrupt:
        progress.close()
        click.echo("popbench: interrupted; nothing was written, and the same command begins again", err=True)
        return 130
    if as_json:
        click.echo(json.dumps({"run": str(run), **result}, ensure_ascii=False))
    else:
        console = make_console()
        show(result, console)
        names = ["audit.json", "audit.md"]
        if any(entry["of_run"] for entry in result["audits"]) and (run / "leaderboard.md").exists():
            names += ["leaderboard.md", "results.json"]
        console.print(f"{run}: {', '.join(names)}", markup=False, highlight=False, soft_wrap=True)
    ended = [
        f"{entry['predictor']}: {row['ended']}"
        for entry in result["audits"]
        for row in (*entry["rows"], *([entry["equal_titles"]] if "equal_titles" in entry else []))
        if row["ended"]
    ]
    for line in ended:
        tell(f"popbench: {line}", err=True)
    return 1 if ended else 0

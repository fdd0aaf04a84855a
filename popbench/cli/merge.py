"""`popbench merge`: joins the shards of a run."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.cli._output_path import OutputPath


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=OutputPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run directory.  [default: that of the shards, without .shard-I-of-N]",
)
@click.option(
    "--task",
    metavar="NAME[,KEY=VALUE]...",
    multiple=True,
    help="Task of the run that its shards name by a path, which is not taken from them; repeat for several.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Take components and tasks from a TOML or JSON file; a run.json says that these shards are your own.",
)
@click.option("--link", is_flag=True, help="Link clips instead of copying them: both runs share the bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of tables.")
def command(
    runs: tuple[Path, ...], out: Path | None, task: tuple[str, ...], config: Path | None, link: bool, as_json: bool
) -> int:
    """Join the shards of a run, which popbench eval --shard made, into the whole run.

    Samples and results are those of one run of everything. The shards stay as they are. Where some are missing, or have
    samples without a result, what is there is joined and the exit status is 1: merging again adds what has come since.
    Shards that differ in anything that results depend on are refused, with what it is.

    Shards may come from somebody else: of what they name, only components and tasks that plugins bring are used. A
    path, an address or a model of the hub has to be named here, by --task or --config.

    \b
      popbench eval --llm shotlist --corpus demo --shard 1/2 --out runs/study
      popbench eval --llm shotlist --corpus demo --shard 2/2 --out runs/study    # on another machine, say
      popbench merge runs/study.shard-*                                          # into runs/study
      popbench merge runs/study.shard-* --config study.toml                      # names models and folders
    """
    from popbench.cli._results import interruptible, show
    from popbench.evaluation.merge import merge
    from popbench.progress.console import tell

    run = interruptible(lambda progress: merge(runs, out, link=link, task=task, config=config, progress=progress))
    if run is None:
        return 130
    paged = show(run, as_json=as_json)
    for line in run.problems:
        tell(f"popbench: {line}", err=True)
    return 0 if run.complete and paged else 1

"""`popbench merge`: the shards of a run, joined."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run directory.  [default: that of the shards, without .shard-I-of-N]",
)
@click.option("--link", is_flag=True, help="Link clips instead of copying them: both runs share the bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON summary instead of tables.")
def command(runs: tuple[Path, ...], out: Path | None, link: bool, as_json: bool) -> int:
    """Join the shards of a run, which popbench eval --shard made, into the whole run.

    Samples and results are those of one run of everything. The shards stay as they are. Where some are missing, or have
    samples without a result, what is there is joined and the exit status is 1: merging again adds what has come since.
    Shards that differ in anything that results depend on are refused, with what it is.

    \b
      popbench eval --llm shotlist --corpus demo --shard 1/2 --out runs/study
      popbench eval --llm shotlist --corpus demo --shard 2/2 --out runs/study    # on another machine, say
      popbench merge runs/study.shard-*                                          # into runs/study
    """
    from popbench.cli._console import tell
    from popbench.cli._results import interruptible, show
    from popbench.merging import merge

    run = interruptible(lambda progress: merge(runs, out, link=link, progress=progress))
    if run is None:
        return 130
    show(run, as_json=as_json)
    for line in run.problems:
        tell(f"popbench: {line}", err=True)
    return 0 if run.complete else 1

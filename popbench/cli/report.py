"""`popbench report`: a run as one page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the page goes.  [default: report.html in RUN]",
)
@click.option("--title", help="Heading of the page.  [default: the name of RUN]")
@click.option(
    "--embed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Put N clips into the page, for one that is read without its videos.",
)
def command(runs: tuple[Path, ...], out: Path | None, title: str | None, embed: int) -> int:
    """Make a page of RUN, a run directory: its results with their intervals, and a gallery of its clips.

    The page is one file that asks nothing of the network. Videos stay where they are, and are loaded from there when
    they are looked at: keep the page with its run, or give --embed.

    \b
    Examples:
      popbench report runs/popcorn-*
      popbench report runs/popcorn-* --out popcorn.html --embed 20
    """
    from popbench.errors import UsageError
    from popbench.report.writing import write_report

    if len(runs) > 1:
        raise UsageError(f"a page is made of one run, not of {len(runs)}: give them one by one")
    file = write_report(runs[0], out, title, embed)
    click.echo(f"{file} ({file.stat().st_size / 1e6:,.1f} MB)")
    return 0

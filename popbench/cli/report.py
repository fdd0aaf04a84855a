"""`popbench report`: writes a run's page, or the paper's tables and figures from runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from popbench.cli import _paper
from popbench.cli._output_path import OutputPath
from popbench.progress.console import tell


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=OutputPath(path_type=Path),
    metavar="PATH",
    help="The page's file, or with --paper a folder.  [default: report.html or paper/ in RUN]",
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
@click.option(
    "--corpus",
    metavar="NAME[,KEY=VALUE]...",
    help="The run's corpus, for titles of references, where RUN names one that no plugin brings.",
)
@_paper.options
def command(
    runs: tuple[Path, ...],
    out: Path | None,
    title: str | None,
    embed: int,
    corpus: str | None,
    paper: bool,
    **given: Any,
) -> int:
    """Make a page of RUN, a run directory: its results with their intervals, and a gallery of its clips.

    The page is one file that asks nothing of the network. Videos stay where they are, and are loaded from there when
    they are looked at: keep the page with its run, or give --embed. Of the directory of `popbench optimize`, the page
    of the search is made, index.html, as that command makes it at its end.

    With --paper, one or more runs or score files make tables 2 to 10 and figures 3 to 8 of the LLMPopcorn paper (arXiv
    2502.12945) in its layout: every number with its interval, beside the published one where a system has one of the
    paper's names, and what the runs lack with the options that run it. It writes paper.md, paper.html and
    figures/. Figures are numbered after the tables that they show: 3 shows table 2, 4 shows 3, 5 shows 4 and 5, and
    6 to 8 show 6 to 8.

    \b
    Examples:
      popbench report runs/popcorn-*
      popbench report runs/popcorn-* --out popcorn.html --embed 20
      popbench report runs/llama runs/deepseek --paper --rag-size 50 --out paper
    """
    from popbench.errors import UsageError

    if paper:
        if title or embed or corpus:
            option = "title" if title else "embed" if embed else "corpus"
            raise UsageError(f"--{option} belongs to a run's page: leave it out with --paper")
        return _paper.write(runs, out, given)
    _paper.refuse(given)
    from popbench.optimize.page import is_search, write_page
    from popbench.report.write import write_report

    if out is not None and out.is_dir():
        raise UsageError(f"{out} is a folder: say with --out which file the page goes to")
    if len(runs) == 1 and is_search(runs[0]):
        if title or embed or corpus:
            option = "title" if title else "embed" if embed else "corpus"
            raise UsageError(f"--{option} belongs to a run's page, and {runs[0]} is a search: leave it out")
        file = write_page(runs[0], out)
        tell(f"{file} ({file.stat().st_size / 1e6:,.1f} MB)")
        return 0
    if len(runs) > 1:
        raise UsageError(f"a page is made of one run, not of {len(runs)}: give them one by one")
    file = write_report(runs[0], out, title, embed, corpus, lambda line: tell(f"popbench: {line}", err=True))
    tell(f"{file} ({file.stat().st_size / 1e6:,.1f} MB)")
    return 0

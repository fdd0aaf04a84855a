"""`popbench view`: a local page of runs and boards."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.progress.console import tell


@click.command("view")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8497,
    show_default=True,
    metavar="N",
    help="Port on this machine; 0 takes any that is free.",
)
@click.option("--open/--no-open", "opens", default=False, show_default=True, help="Open the page in a browser.")
def command(folder: Path | None, port: int, opens: bool) -> int:
    """Look at all runs and boards below DIR (by default runs, or this folder where there is none) in a browser.

    The page is live while runs are at work: stages, rates, spend, clips as they come, errors. Samples are filtered and
    searched, clips stand side by side, and every sample has an address. Nothing is changed in DIR, and a run at work is
    not disturbed.

    The page is for this machine and for whoever has its address, which holds a token that is new each time. From
    another machine: ssh -L 8497:localhost:8497 HOST. Ctrl-C ends it.

    \b
    Examples:
      popbench view
      popbench view /data/runs --port 0 --open
    """
    from popbench.runs.directory import RUNS
    from popbench.view.serve import serve

    if folder is None:
        folder = RUNS if RUNS.is_dir() else Path()

    def told(address: str) -> None:
        tell(f"{address}\n(the page of {folder}; Ctrl-C ends it)")
        if opens:
            import webbrowser

            webbrowser.open(address)

    serve(folder, port, told)
    return 0

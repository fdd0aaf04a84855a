"""`popbench leaderboard`: boards from runs and from bare scores."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("leaderboard")
def command() -> None:
    """Build boards from runs and from bare scores."""


@command.command()
@click.argument(
    "sources",
    nargs=-1,
    required=True,
    metavar="RUN_OR_SCORES...",
    type=click.Path(path_type=Path, exists=True),
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for README.md and board.json.",
)
@click.option("--title", default="Leaderboard", show_default=True, help="Heading of the board.")
@click.option("--common", is_flag=True, help="Restrict the board to the prompts that all systems have.")
def build(sources: tuple[Path, ...], out: Path, title: str, common: bool) -> int:
    """Rank systems from run directories and score files (JSONL, CSV, Parquet).

    A score file has the columns system, task, prompt_id and popularity, and may have category, repeat, status,
    task_hash, predictor, compliance and originality. Only comparable scores share a board: same prompts, same
    task hash, same predictor, demo scores apart from real ones.
    """
    from rich.console import Console

    from popbench.leaderboard.build import build_board
    from popbench.leaderboard.terminal import show

    results = build_board(sources, out, title=title, common=common)
    console = Console()
    show(results, console)
    console.print(f"{out}: README.md, board.json", markup=False, highlight=False, soft_wrap=True)
    return 0

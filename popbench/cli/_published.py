"""The commands of `popbench leaderboard` that keep published boards: add, check, withdraw, diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from popbench.cli._output_path import OutputPath
from popbench.progress.console import make_console, tell

_FOLDER = OutputPath(path_type=Path, file_okay=False)
_BOARD = click.argument("board", metavar="BOARD", type=_FOLDER)
_SUBMISSION_ONLY = click.option(
    "--submission-only",
    is_flag=True,
    help="Touch no generated file, for a pull request: who keeps the board builds it afterwards.",
)
_GENERATED = "README.md, board.json, index.html"
_OF_IDS = ("System", "Systems")
"""Columns of a difference that hold ids of systems."""
_FITS = 24
"""Characters of an id that these have room for on 80 columns."""


@click.command()
@_BOARD
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--system", "systems", metavar="ID", multiple=True, help="Submit this system only; repeat for several.")
@click.option(
    "--variants-tried",
    "tried",
    type=click.IntRange(1, 10**9),  # as a submission may say
    metavar="N",
    help="How many variants (prompts, modes, templates, models, options) were tried before these systems were chosen, "
    "those submitted included.  [default: asked on a terminal, else recorded as not said]",
)
@click.option("--replace", metavar="REASON", help="Put the run's results in the place of those that are on the board.")
@_SUBMISSION_ONLY
@click.option("--title", help="Heading of a new board.  [default: the folder's name]")
@click.option("--description", help="A sentence for a new board.")
@click.option("--predictor", metavar="LABEL", help="Predictor of a new board.  [default: the run's first]")
def add(
    board: Path,
    run: Path,
    systems: tuple[str, ...],
    tried: int | None,
    replace: str | None,
    submission_only: bool,
    title: str | None,
    description: str | None,
    predictor: str | None,
) -> int:
    """Submit a run to a published board, or say every reason why not.

    Where there is no board yet, one is made: its rules (board.yaml) are the run's tasks, predictor, repeats and seed.
    A submission holds what was run and the score of every prompt, no videos and no texts. It is refused, and nothing is
    written, if tasks, predictor, repeats or seed are others than the board's; if it mixes demo scores with real ones;
    if prompts are missing, pending or in error; if the run's files are not what its ledger holds; and if a system is on
    the board already. The board shows how many variants were tried, as you say and as the run's ledger counts.

    \b
      popbench leaderboard add leaderboards/mine runs/popcorn-02767b01 --title "Our models" --variants-tried 4
      popbench leaderboard add leaderboards/mine runs/popcorn-5d1c0c55 --system 'gpt-4o|pe|ltx' --submission-only
      popbench leaderboard add leaderboards/mine runs/popcorn-5d1c0c55 --replace "rendered with half the steps"
    """
    from popbench.publishing.add import add as submit
    from popbench.text import counted

    added = submit(
        board,
        run,
        title=title,
        description=description,
        predictor=predictor,
        systems=systems,
        tried=tried if tried is not None else _ask(),
        replace=replace,
        submission_only=submission_only,
    )
    written = "" if submission_only else f"; written: {_GENERATED}"
    show_board(added.results, f"{counted(len(added.systems), 'system')} in {added.file}{written}")
    for note in added.notes:
        tell(note)
    return 0


def _ask() -> int | None:
    """Ask on a terminal how many variants were tried; None if there is no terminal, or no answer."""
    if not _on_a_terminal():
        return None
    question = "How many variants were tried, those submitted included? (Enter: not said)"
    answer: str = click.prompt(question, default="", show_default=False, err=True, value_proc=_whole)
    return int(answer) if answer else None


def _on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _whole(answer: str) -> str:
    text = answer.strip()
    if text and not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= 10**9):
        raise click.UsageError("expected a whole number from 1 on, or nothing")
    return text


@click.command()
@_BOARD
@click.option("--submissions", is_flag=True, help="Check the submissions; generated files need not be current.")
def check(board: Path, submissions: bool) -> int:
    """Build a published board again and compare every byte: for a lab's CI.

    Submissions that were changed, renamed, removed or put there by hand, that do not keep the rules of board.yaml or
    hold a system twice, and README.md, board.json or index.html that are not what the submissions give: each is a line,
    and the exit status is 1. With --submissions, for pull requests that add one, the generated files are not looked at.
    That the scores in a submission are true no check can show, only running it again.

    \b
      popbench leaderboard check leaderboards/mine
      popbench leaderboard check leaderboards/mine --submissions
    """
    from popbench.errors import RunError
    from popbench.publishing.check import check as compare
    from popbench.text import counted

    checked = compare(board, submissions_only=submissions)
    if checked.wrong:
        raise RunError("\n".join(checked.wrong))
    counts = f": {counted(checked.systems, 'system')}, {counted(checked.submissions, 'submission')}"
    tell(f"{board}: ok{counts if checked.submissions else ''}")
    return 0


@click.command()
@_BOARD
@click.argument("what", metavar="SYSTEM_OR_SUBMISSION")
@click.option("--reason", required=True, metavar="TEXT", help="Why, in one line, which the board shows.")
@_SUBMISSION_ONLY
def withdraw(board: Path, what: str, reason: str, submission_only: bool) -> int:
    """Take a system, or all systems of a submission, off a published board.

    The submission stays where it is and does not count any more. A file in withdrawn/ says so, and the board shows
    which systems were withdrawn, when and why; removing that file takes the withdrawal back.

    \b
      popbench leaderboard withdraw leaderboards/mine 'gpt-4o|pe|ltx' --reason "rendered with half the steps"
      popbench leaderboard withdraw leaderboards/mine gpt-4o-pe-ltx-02767b01 --reason "the lab asked for it"
    """
    from popbench.publishing.withdraw import withdraw as take_off

    file, results = take_off(board, what, reason, submission_only=submission_only)
    show_board(results, f"withdrawn in {file}{'' if submission_only else f'; written: {_GENERATED}'}")
    return 0


@click.command()
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--markdown", is_flag=True, help="Print GitHub markdown, for a comment on a pull request.")
def diff(old: Path, new: Path, markdown: bool) -> int:
    """Say what differs between two boards: systems that came, went or changed, places, verdicts, withdrawals.

    OLD and NEW are folders of boards; of published ones the submissions count, whether or not the pages are current.
    OLD may be an empty folder, where there was no board.

    \b
      popbench leaderboard diff ../main/leaderboards/mine leaderboards/mine --markdown
    """
    from popbench.publishing.board_diff import ARROW, difference

    found = difference(old, new)
    if markdown:
        click.echo(found.markdown(), nl=False)
        return 0

    from rich.text import Text

    from popbench.leaderboard.plain_tables import plain_table, system_text

    console = make_console()
    console.print(Text(found.summary, style="bold"), soft_wrap=True)
    for line in found.lines:
        console.print(Text(line), soft_wrap=True)
    for of in found.tables:
        table = plain_table(of.title, list(zip(of.head, of.sides, strict=True)))
        for row in of.rows:
            table.add_row(
                *(
                    system_text(cell, console.width, _FITS)
                    if name in _OF_IDS
                    else Text(cell.replace(ARROW, f"\n{ARROW.lstrip()}"))
                    for name, cell in zip(of.head, row, strict=True)
                )
            )
        console.print(table)
    return 0


def show_board(results: dict[str, Any] | None, line: str) -> None:
    """Print a board and its place."""

    from popbench.leaderboard.terminal import show

    console = make_console()
    if results is not None:
        show(results, console)
    console.print(line, markup=False, highlight=False, soft_wrap=True)

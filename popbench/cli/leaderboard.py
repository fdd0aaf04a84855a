"""`popbench leaderboard`: builds boards from runs and score files, and maintains published boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from popbench.cli._output_path import OutputPath
from popbench.progress.console import make_console, tell

_BOARD = click.argument("board", metavar="BOARD", type=click.Path(path_type=Path, file_okay=False))


@click.group("leaderboard")
def command() -> None:
    """Build boards from runs and from bare scores, and keep published ones.

    `build` ranks whatever you have. A published board is a folder that only takes comparable runs: `add` submits one,
    `check` shows that the board is what its submissions give.
    """


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
    type=OutputPath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for README.md, board.json and index.html.  [default: the board's own]",
)
@click.option("--title", help="Heading of the board.  [default: Leaderboard]")
@click.option("--common", is_flag=True, help="Restrict the board to the prompts that all systems have.")
@click.option(
    "--reference",
    metavar="SYSTEM",
    help="System to show win rates against, beside the mean one.  [default: human, else verbatim]",
)
@click.option(
    "--numbers",
    metavar="FORM",
    help="How texts of score files write numbers: decimal=comma, thousands=point, or both with a comma between; "
    "signs are point, comma, space, apostrophe.  [default: plain, as 1037.5]",
)
@click.option(
    "--push-to-hub",
    metavar="REPO_ID",
    help="Also push scores, systems and pairs to the Hugging Face hub, as a data set.",
)
@click.option("--private", is_flag=True, help="With --push-to-hub: make a new data set private.")
@click.option(
    "--replace",
    is_flag=True,
    help="With --push-to-hub: push a new version where there is a board already; earlier ones stay under their tags.",
)
@click.option(
    "--tag", metavar="NAME", help="With --push-to-hub: name of this version.  [default: made of what is in it]"
)
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --push-to-hub: also the clips of the first N prompts of each run.",
)
def build(
    sources: tuple[Path, ...],
    out: Path | None,
    title: str | None,
    common: bool,
    reference: str | None,
    numbers: str | None,
    push_to_hub: str | None,
    private: bool,
    replace: bool,
    tag: str | None,
    clips: int | None,
) -> int:
    """Rank systems from run directories and score files (CSV, TSV, JSONL, Parquet), exports, submissions and boards.

    A score file has the columns system, task, prompt_id and popularity, and may have category, repeat, status,
    task_hash, predictor, compliance and originality. Only comparable scores share a board: same prompts, same
    task hash, same predictor, demo scores apart from real ones.

    A published board alone, without --out, is written anew from its submissions.

    \b
      popbench leaderboard build runs/popcorn-* --out my-board
      popbench leaderboard build board-a board-b scores.csv --out merged
      popbench leaderboard build leaderboards/demo
    """
    from popbench.errors import UsageError
    from popbench.publishing.build import build_board
    from popbench.publishing.hub import Repository
    from popbench.publishing.hub_board import chosen_clips, push
    from popbench.publishing.pages import rebuild
    from popbench.scores.board_folder import is_board, read_board
    from popbench.scores.score_files import PLAIN
    from popbench.scores.sources import read_all
    from popbench.tables import read_form

    try:
        form = PLAIN if numbers is None else read_form(numbers)
    except ValueError as error:
        raise UsageError(f"--numbers: {error}") from None
    here = sources[0] if len(sources) == 1 and is_board(sources[0]) else None
    if out is None and here is None:
        raise click.UsageError("Missing option '--out': only a published board is written anew where it is.")
    if push_to_hub is None and (private or replace or tag is not None or clips is not None):
        raise UsageError("--private, --replace, --tag and --clips belong to --push-to-hub")
    if push_to_hub is not None:
        if here is not None:
            read_board(here)  # refuses the paper's board, which has no scores of prompts to push
        repository = Repository("dataset", push_to_hub, private=private, replace=replace, tag=tag)
        repository.ready("--push-to-hub")
        shown = [] if clips is None else chosen_clips(sources, clips)
    if here is not None and out in (None, here):
        if title is not None or common:
            raise UsageError(f"{here} has its title in board.yaml and all prompts: --title and --common need --out")
        if reference is not None:
            raise UsageError(f"{here} has its reference in board.yaml: write it there, reference: {reference!r}")
        results, names = rebuild(here)
        target = here
    else:
        assert out is not None
        if is_board(out):
            raise UsageError(f"{out} is a published board: popbench leaderboard add {out} RUN submits a run to it")
        named = title or "Leaderboard"
        results = build_board(sources, out, title=named, common=common, form=form, reference=reference)
        target = out
        names = ["README.md", "board.json", "index.html"]
    _tell(results, f"{target}: {', '.join(names)}")
    if push_to_hub is not None:
        assert results is not None
        tell(push(repository, results, read_all(sources, form), target, shown))
    return 0


@command.command()
@_BOARD
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--system", "systems", metavar="ID", multiple=True, help="Submit this system only; repeat for several.")
@click.option("--title", help="Heading of a new board.  [default: the folder's name]")
@click.option("--description", help="A sentence for a new board.")
@click.option("--predictor", metavar="LABEL", help="Predictor of a new board.  [default: the run's first]")
def add(
    board: Path,
    run: Path,
    systems: tuple[str, ...],
    title: str | None,
    description: str | None,
    predictor: str | None,
) -> int:
    """Submit a run to a published board, or say every reason why not.

    Where there is no board yet, one is made: its rules (board.yaml) are the run's tasks, predictor, repeats and seed.
    A submission holds what was run and the score of every prompt, no videos and no texts. It is refused, and nothing is
    written, if tasks, predictor, repeats or seed are others than the board's; if it mixes demo scores with real ones;
    if prompts are missing, pending or in error; if the run's files are not what its ledger holds; and if a system is on
    the board already.

    \b
      popbench leaderboard add leaderboards/mine runs/popcorn-02767b01 --title "Our models"
      popbench leaderboard add leaderboards/mine runs/popcorn-5d1c0c55 --system 'gpt-4o|pe|ltx'
      popbench leaderboard check leaderboards/mine
    """
    from popbench.publishing.add import add as submit
    from popbench.text import counted

    added = submit(board, run, title=title, description=description, predictor=predictor, systems=systems)
    number = counted(len(added.systems), "system")
    _tell(added.results, f"{number} in {added.file}; written: README.md, board.json, index.html")
    for note in added.notes:
        tell(note)
    return 0


@command.command()
@_BOARD
def check(board: Path) -> int:
    """Build a published board again and compare every byte: for a lab's CI.

    Submissions that were changed, renamed, removed or put there by hand, that do not keep the rules of board.yaml or
    hold a system twice, and README.md, board.json or index.html that are not what the submissions give: each is a line,
    and the exit status is 1. That the scores in a submission are true no check can show, only running it again.

    \b
      popbench leaderboard check leaderboards/mine
    """
    from popbench.errors import RunError
    from popbench.publishing.check import check as compare
    from popbench.text import counted

    checked = compare(board)
    if checked.wrong:
        raise RunError("\n".join(checked.wrong))
    counts = f": {counted(checked.systems, 'system')}, {counted(checked.submissions, 'submission')}"
    tell(f"{board}: ok{counts if checked.submissions else ''}")
    return 0


def _tell(results: dict[str, Any] | None, line: str) -> None:
    """Print a board and its place."""

    from popbench.leaderboard.terminal import show

    console = make_console()
    if results is not None:
        show(results, console)
    console.print(line, markup=False, highlight=False, soft_wrap=True)

"""`popbench leaderboard`: builds boards from runs and score files, and maintains published boards."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.cli._output_path import OutputPath
from popbench.cli._published import add, check, diff, show_board, withdraw
from popbench.progress.console import tell


@click.group("leaderboard")
def command() -> None:
    """Build boards from runs and from bare scores, and keep published ones.

    `build` ranks whatever you have. A published board is a folder that only takes comparable runs: `add` submits one,
    `withdraw` takes one off, `check` shows that the board is what its submissions give, `diff` what changed.
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
    help="Folder for README.md, board.json and index.html; of boards, a published board.  [default: the board's own]",
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
    "--license",
    "terms",
    metavar="ID",
    help="With --push-to-hub: licence to say on its page, by the hub's name, such as cc-by-4.0.",
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
    terms: str | None,
    clips: int | None,
) -> int:
    """Rank systems from run directories and score files (CSV, TSV, JSONL, Parquet), exports, submissions and boards.

    A score file has the columns system, task, prompt_id and popularity, and may have category, repeat, status,
    task_hash, predictor, compliance and originality. Only comparable scores share a board: same prompts, same
    task hash, same predictor, demo scores apart from real ones.

    A published board alone, without --out, is written anew from its submissions: also after a merge conflict in its
    generated files. Boards and submissions alone make a published board in --out, with rules and submissions.

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
    if push_to_hub is None and (private or replace or (tag, terms, clips) != (None, None, None)):
        raise UsageError("--private, --replace, --tag, --license and --clips belong to --push-to-hub")
    if push_to_hub is not None:
        if here is not None:
            read_board(here)  # refuses the paper's board, which has no scores of prompts to push
        repository = Repository("dataset", push_to_hub, private=private, replace=replace, tag=tag, license=terms)
        repository.ready("--push-to-hub")
        shown = [] if clips is None else chosen_clips(sources, clips)
    if here is not None and (out is None or out.resolve() == here.resolve()):
        if title is not None or common:
            raise UsageError(f"{here} has its title in board.yaml and all prompts: --title and --common need --out")
        if reference is not None:
            raise UsageError(f"{here} has its reference in board.yaml: write it there, reference: {reference!r}")
        results, names = rebuild(here)
        target = here
    else:
        assert out is not None
        results = build_board(sources, out, title=title, common=common, form=form, reference=reference)
        target = out
        names = [*(["board.yaml", "submissions"] if is_board(out) else []), "README.md", "board.json", "index.html"]
    show_board(results, f"{target}: {', '.join(names)}")
    if push_to_hub is not None:
        assert results is not None
        tell(push(repository, results, read_all(sources, form), target, shown))
    return 0


for of_published in (add, check, withdraw, diff):
    command.add_command(of_published)

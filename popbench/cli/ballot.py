"""`popbench ballot`: asks people about a run's clips, and takes their votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.cli._output_path import OutputPath
from popbench.errors import UsageError
from popbench.progress.console import make_console, tell
from popbench.text import counted

if TYPE_CHECKING:
    from popbench.ballot.add import Added


class _RunFirst(click.Group):
    """A group that takes a run's folder in place of a command: `popbench ballot RUN` is `popbench ballot make RUN`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            if not Path(args[0]).is_dir():
                raise UsageError(
                    f"{args[0]}: neither a command ({', '.join(sorted(self.commands))}) nor the directory of a run"
                )
            args = ["make", *args]
        return super().resolve_command(ctx, args)


@click.group("ballot", cls=_RunFirst)
def command() -> None:
    """Ask people which clips they would rather watch: a blind vote as one page, and what came back.

    `popbench ballot RUN` is short for `popbench ballot make RUN`.
    """


@command.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--pairs",
    type=click.IntRange(1, 500),
    default=40,
    show_default=True,
    metavar="N",
    help="Pairs of clips that each voter sees; two attention checks or more are added.",
)
@click.option(
    "--out", type=OutputPath(path_type=Path), metavar="FILE", help="The page's file.  [default: ballot-ID.html]"
)
@click.option("--question", metavar="TEXT", help="What voters are asked.  [default: the tasks' own question]")
@click.option("--title", metavar="TEXT", help="Heading of the page. Voters read it: name no system.")
@click.option("--seed", type=int, default=42, show_default=True, help="Decides pairs, order and sides.")
def make(run: Path, pairs: int, out: Path | None, seed: int, **texts: Any) -> int:
    """Write a blind vote on the clips of RUN as one page that asks nothing of the network.

    Send the page to voters, and take what they send back with `popbench ballot add`. The pairs that the run's results
    leave undecided come first, balanced over prompts, categories and sides. The page knows no system: which clip is
    whose stays in RUN/ballots.

    \b
    Examples:
      popbench ballot make runs/popcorn-* --pairs 30
      popbench ballot make runs/popcorn-* --pairs 60 --out vote.html --question "Which would you send to a friend?"
    """
    from popbench.ballot.make import make_ballot

    for name, text in texts.items():
        if text is not None and not (text.strip() and text.isprintable() and len(text) <= 300):
            raise UsageError(f"--{name}: expected text on one line, of at most 300 characters")
    given = {name: text.strip() for name, text in texts.items() if text is not None}
    made = make_ballot(run, pairs, out, seed=seed, tell=lambda line: tell(f"popbench: {line}", err=True), **given)
    of = f"{counted(made.pairs, 'pair')} of clips, {counted(made.comparisons, 'comparison')} of systems"
    size = f"{made.page.stat().st_size / 1e6:,.1f} MB"
    tell(f"{made.page} ({size}): {of}, {counted(made.checks, 'attention check')}; ballot {made.id}")
    return 0


@command.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="VOTES.json...", type=click.Path(path_type=Path))
@click.option(
    "--allow-failed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Take votes of voters who failed up to N attention checks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def add(run: Path, files: tuple[Path, ...], allow_failed: int, as_json: bool) -> int:
    """Check files that voters sent back, and add their votes to RUN.

    Votes on other runs, edited files, second files of a voter that say otherwise and voters who failed attention checks
    are refused, each with a line; the others are added to RUN/votes.jsonl, and the run's board gets win rates over
    people: from all votes alone, and corrected by the predictor's scores of the other prompts. Exit status 2 where a
    file was refused.

    \b
    Example:
      popbench ballot add runs/popcorn-3f0c21aa votes-*.json
    """
    from popbench.ballot.add import add_votes

    added = add_votes(run, files, allow_failed)
    for line in added.refused:
        tell(f"popbench: {line}", err=True)
    if as_json:
        told = {"added": added.votes, "known": [str(file) for file in added.known], "refused": list(added.refused)}
        click.echo(json.dumps({**told, "people": added.board.get("people")}, ensure_ascii=False))
    else:
        _show(added, len(files))
    return 2 if added.refused else 0


def _show(added: Added, files: int) -> None:
    taken = files - len(added.refused) - len(added.known)
    known = f"; {counted(len(added.known), 'file')} had nothing new" if added.known else ""
    tell(f"{counted(added.votes, 'vote')} added, of {counted(taken, 'file')}{known}")
    if added.board.get("people"):
        from popbench.leaderboard.people_terminal import show_people

        show_people(added.board, make_console())

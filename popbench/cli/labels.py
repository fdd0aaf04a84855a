"""`popbench labels`: takes real outcomes of clips that were posted."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.errors import UsageError
from popbench.progress.console import make_console, tell
from popbench.text import counted


@click.group("labels")
def command() -> None:
    """Take real outcomes of a run's clips that were posted, such as their views."""


@command.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--count", default="count", show_default=True, metavar="COLUMN", help="Column with what was counted.")
@click.option("--exposure", metavar="COLUMN", help="Column with the days or impressions in which it was counted.")
@click.option("--numbers", metavar="SIGNS", help="How numbers are written, such as decimal=comma,thousands=point.")
def add(run: Path, file: Path, count: str, exposure: str | None, numbers: str | None) -> int:
    """Add real outcomes to RUN from FILE, a table: CSV, TSV, JSONL or Parquet.

    Each row names a clip in a column video (its path in the run, its name, or that without .mp4), or a sample in
    columns system, task, prompt_id and, with repeats, repeat. A sample that has a label gets the new one: counts grow.
    The labels are RUN/labels.jsonl, and the run's board gets win rates over people by which of two posted clips of a
    prompt had more.

    \b
    Examples:
      popbench labels add runs/popcorn-3f0c21aa views.csv --count views --exposure days
      popbench labels add runs/popcorn-3f0c21aa posted.parquet
    """
    from popbench.labels.add import add_labels
    from popbench.labels.rows import Columns
    from popbench.tables import NumberForm, read_form

    try:
        form = NumberForm() if numbers is None else read_form(numbers)
    except ValueError as error:
        raise UsageError(f"--numbers: {error}") from None
    if exposure == count:
        raise UsageError(f"--count and --exposure both name column {count!r}: they are two columns")
    added = add_labels(run, file, Columns(count, exposure, form))
    tell(
        f"{counted(added.new, 'label')} added, {added.replaced:,} replaced: {added.labels:,} of "
        f"{counted(added.clips, 'clip')} in {run} have a real outcome"
    )
    if added.board is not None:
        from popbench.leaderboard.people_terminal import show_people

        show_people(added.board, make_console())
    return 0

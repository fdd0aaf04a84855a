"""`popbench export`: writes a run's scores in formats of other tools and boards."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.cli._output_path import OutputPath
from popbench.errors import UsageError
from popbench.progress.console import tell
from popbench.text import counted

FORMATS = ("eee", "parquet", "jsonl")


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "--out",
    type=OutputPath(path_type=Path),
    metavar="PATH",
    help="File, or folder for eee.  [default: scores.parquet, scores.jsonl or eee in the run]",
)
@click.option("--organization", metavar="NAME", help="eee: who evaluated.  [default: unknown]")
@click.option(
    "--relationship",
    type=click.Choice(("first_party", "third_party", "collaborative", "other")),
    help="eee: what you are to the models' developers.  [default: other]",
)
@click.option("--force", is_flag=True, help="Replace files that have other content.")
def command(
    run: Path, form: str, out: Path | None, organization: str | None, relationship: str | None, force: bool
) -> int:
    """Write the scores of a finished run for other tools; `popbench leaderboard build` reads them back.

    parquet and jsonl have a row for each sample and predictor, with all there is to know of it in flat columns. eee
    writes Every Eval Ever files (schema 0.3.0): for each system an aggregate, and its instances.

    \b
    Examples:
      popbench export runs/popcorn-02767b01 --format parquet
      popbench export runs/popcorn-02767b01 --format jsonl --out scores.jsonl
      popbench export runs/popcorn-02767b01 --format eee --out every_eval_ever --organization "My lab"
    """
    if form != "eee" and (organization or relationship):
        raise UsageError("--organization and --relationship are of --format eee")
    if form == "eee":
        from popbench.export.eee import write_eee

        out = out or run / "eee"
        written, demo = write_eee(
            run, out, organization=organization or "unknown", relationship=relationship or "other", force=force
        )
        line = f"{out}: {counted(len(written), 'system')}, an aggregate and its instances each"
    else:
        from popbench.export.tables import write_table

        out = out or run / f"scores.{form}"
        rows, demo = write_table(run, form, out, force=force)
        line = f"{out}: {counted(rows, 'row')}"
    tell(line)
    if demo:
        click.echo("Demo scores: the files say so, and boards keep them apart from real ones.", err=True)
    return 0

"""`popbench predictor eval`: measure how well a trained model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench_mmra.cli import shared

if TYPE_CHECKING:
    from popbench.progress import Progress


@click.command("eval", short_help="Measure how well a trained model predicts.")
@click.argument("model", type=click.Path(path_type=Path, file_okay=False))
@shared.options(
    click.option("--corpus", metavar=shared.SPEC, help="Corpus to measure on.  [default: the one it was trained on]"),
    shared.VIDEOS,
    click.option(
        "--part",
        type=click.Choice(["train", "valid", "test", "all"]),
        default="test",
        show_default=True,
        help="Of the corpus.",
    ),
    *shared.OWN_ENCODERS,
    *shared.MACHINE,
    click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON."),
)
def command(model: Path, **given: Any) -> int:
    """Measure the model in folder MODEL: MAE, nMSE and rank correlation (SRC) of log2 popularity, with intervals.

    \b
    Examples:
      popbench predictor eval mmra
      popbench predictor eval mmra --corpus table,path=mine.csv,title=name,popularity=comments --videos clips
    """
    return shared.interruptible(lambda progress: _eval(progress, model, given))


def _eval(progress: Progress, model: Path, given: dict[str, Any]) -> int:
    import json

    from popbench.errors import UsageError
    from popbench.progress.console import make_console
    from popbench_mmra import folder as folders
    from popbench_mmra.corpora import find_source
    from popbench_mmra.encoders import find_encoders
    from popbench_mmra.workflows import evaluate

    card = folders.read_card(model)
    spec = given["corpus"] or (card["corpus"] or {}).get("spec")
    if spec is None:
        raise UsageError(f"{model}: its card names no corpus: give --corpus and --videos")
    try:
        source = find_source(spec, given["videos"], card["target"])
    except UsageError as error:
        if given["corpus"] is not None:
            raise
        raise UsageError(f"{error}; --corpus and --videos name the data where they are not where they were") from None
    encoders = find_encoders(given, card)
    shared.check_encoders(encoders, given["device"])
    trained = folders.load(model)
    with shared.extracting(encoders, given) as extractor:
        metrics, remarks = evaluate(trained, source, given["part"], extractor(trained.model.frames), progress)
    progress.close()
    if given["as_json"]:
        click.echo(json.dumps({**metrics, "remarks": remarks}, ensure_ascii=False))
        return 0
    shared.show_metrics(metrics, card["target"], make_console())
    for line in remarks:
        click.echo(line)
    return 0

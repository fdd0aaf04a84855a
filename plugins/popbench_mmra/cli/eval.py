"""`popbench predictor eval`: measure how well a trained model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench_mmra.cli import shared

if TYPE_CHECKING:
    from popbench.progress import Progress


_OF_TITLES = ("corpus", "part", "embedder", "as_json")
"""The options that models of titles have too."""


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
    click.option("--embedder", metavar=shared.SPEC, help="What embeds titles, for `titles`.  [default: its own]"),
    *shared.MACHINE,
    click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON."),
)
def command(model: Path, **given: Any) -> int:
    """Measure the model in folder MODEL: MAE, nMSE and rank correlation (SRC) of log2 popularity, with intervals.

    And how often it puts the more popular of two videos first, by the size of the difference and by category.

    \b
    Examples:
      popbench predictor eval mmra
      popbench predictor eval mmra --corpus table,path=mine.csv,title=name,popularity=comments --videos clips
    """
    return shared.interruptible(lambda progress: _eval(progress, model, given))


def _eval(progress: Progress, model: Path, given: dict[str, Any]) -> int:
    from popbench.errors import UsageError
    from popbench_mmra import folder as folders
    from popbench_mmra.card_files import kind_of
    from popbench_mmra.corpora import find_source
    from popbench_mmra.encoders import find_encoders
    from popbench_mmra.workflows import evaluate

    if kind_of(model) == "titles":
        return _eval_titles(progress, model, given)
    if given["embedder"] is not None:
        raise UsageError("--embedder: for models of titles, and this is none: leave it out")
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
    return _show(metrics, remarks, card, as_json=given["as_json"])


def _eval_titles(progress: Progress, model: Path, given: dict[str, Any]) -> int:
    from contextlib import closing

    from popbench.errors import UsageError
    from popbench_mmra.corpora import find_source
    from popbench_mmra.titles import folder as folders
    from popbench_mmra.titles.embedding import complete_embedder_of_card
    from popbench_mmra.titles.workflows import evaluate

    ridge, card = folders.load(model)
    context = click.get_current_context()
    for name in given:
        if name not in _OF_TITLES and context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')}: this model sees titles alone: leave it out")
    embedder = complete_embedder_of_card(card, given["embedder"])
    try:
        source = find_source(given["corpus"] or card["corpus"]["spec"], None, card["target"])
    except UsageError as error:
        if given["corpus"] is not None:
            raise
        raise UsageError(f"{error}; --corpus names the data where they are not where they were") from None
    with closing(embedder):
        metrics, remarks = evaluate(ridge, card, embedder, source, given["part"], progress)
    progress.close()
    return _show(metrics, remarks, card, as_json=given["as_json"])


def _show(metrics: Mapping[str, Any], remarks: list[str], card: Mapping[str, Any], *, as_json: bool) -> int:
    import json

    from popbench.progress import make_console
    from popbench_mmra.card_text import FLAT

    if as_json:
        click.echo(json.dumps({**metrics, "remarks": remarks}, ensure_ascii=False))
        return 0
    shared.show_metrics(metrics, card["target"], FLAT[card["kind"]], make_console())
    for line in remarks:
        click.echo(line)
    return 0

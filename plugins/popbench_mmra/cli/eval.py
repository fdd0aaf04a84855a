"""`popbench predictor eval`: measure how well a trained model predicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench_mmra.cli import shared

if TYPE_CHECKING:
    from popbench.progress import Progress


_OF_TITLES = ("corpus", "part", "embedder", "as_json", "out", "target", "limit")
"""The options that models of titles have too, or that are refused before."""
_OF_ANY = {"corpus", "videos", "part", "out", "target", "limit", "as_json"}
"""The options of any predictor."""


@click.command("eval", short_help="Measure how well a trained model predicts.")
@click.argument("model", required=False, type=click.Path(path_type=Path, file_okay=False))
@shared.options(
    click.option("--predictor", metavar=shared.SPEC, help="Any predictor to measure, in place of MODEL."),
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
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Folder of the card, for --predictor.",
    ),
    shared.TARGET,
    click.option(
        "--limit",
        type=click.IntRange(min=1),
        metavar="N",
        help="Videos, drawn at random, for --predictor.  [default: all]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON."),
)
def command(model: Path | None, predictor: str | None, **given: Any) -> int:
    """Measure the model in folder MODEL: MAE, nMSE and rank correlation (SRC) of log2 popularity, with intervals.

    And how often it puts the more popular of two videos first, by the size of the difference and by category. With
    --predictor, any predictor is measured, such as a judge: it scores the real videos of a corpus, and its card is
    written to --out, for runs to be given with card=DIR. What is scored there is not asked again.

    \b
    Examples:
      popbench predictor eval mmra
      popbench predictor eval mmra --corpus table,path=mine.csv,title=name,popularity=comments --videos clips
      popbench predictor eval --predictor judge,model=gpt-4o --corpus microlens,path=DIR --videos DIR --out card
    """
    from popbench.errors import UsageError

    if (model is None) == (predictor is None):
        raise UsageError("give the folder of a trained model, or --predictor NAME[,KEY=VALUE]...: one of the two")
    if predictor is not None:
        return shared.interruptible(lambda progress: _eval_any(progress, predictor, given))
    assert model is not None
    _refuse({"out", "target", "limit"}, "only with --predictor: leave it out")
    return shared.interruptible(lambda progress: _eval(progress, model, given))


def _refuse(names: Collection[str], why: str) -> None:
    """Raise UsageError if one of these options was given."""
    from popbench.errors import UsageError

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise UsageError(f"--{name.replace('_', '-')}: {why}")


def _eval_any(progress: Progress, predictor: str, given: dict[str, Any]) -> int:
    import json

    from popbench.errors import UsageError
    from popbench.measuring import FLAT, HeldOut, measure_predictor
    from popbench.progress import make_console
    from popbench_mmra.corpora import find_source

    _refuse(set(given) - _OF_ANY, "for trained models: say it in the predictor's spec")
    missing = " and ".join(f"--{name}" for name in ("corpus", "out") if given[name] is None)
    if missing:
        raise UsageError(f"--predictor needs {missing}: the real videos to score, and the folder of its card")
    out: Path = given["out"]
    source = find_source(given["corpus"], given["videos"], given["target"])
    held = HeldOut(source.corpus, source.spec, source.name, source.label, given["part"], given["target"])
    with shared.locked(out):
        card = measure_predictor(predictor, held, out, limit=given["limit"], progress=progress)
    progress.close()
    metrics = card["metrics"]
    if given["as_json"]:
        click.echo(json.dumps(card, ensure_ascii=False))
    else:
        shared.show_metrics(metrics, card["target"], FLAT, make_console())
        for line in (*card["corpus"]["remarks"], *metrics.get("remarks", [])):
            click.echo(line)
        if card["cost"] is not None:
            click.echo(f"cost: {card['cost']:.4g} USD")
        click.echo(f"{out}: card.json, README.md, scores.jsonl")
        click.echo(f"To give it to a run: popbench eval --predictor {predictor},card={out} ...")
    if metrics["errors"]:
        click.echo("popbench: some videos have no score by an error: the same command tries these again", err=True)
    return 1 if metrics["errors"] else 0


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
    _refuse([name for name in given if name not in _OF_TITLES], "this model sees titles alone: leave it out")
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

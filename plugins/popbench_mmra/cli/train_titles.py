"""`popbench predictor train titles`: train a light predictor on the titles of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench_mmra.cli import shared

if TYPE_CHECKING:
    from popbench.progress import Progress


@click.command("titles", short_help="Train a light predictor on the titles of a corpus, without videos.")
@shared.options(
    click.option(
        "--corpus", required=True, metavar=shared.SPEC, help="Corpus with the parts train and test, or without parts."
    ),
    shared.out_folder,
    shared.TARGET,
    click.option("--embedder", metavar=shared.SPEC, help="What embeds titles.  [default: all-MiniLM-L12-v2]"),
    click.option(
        "--hold-out",
        type=click.FloatRange(0.05, 0.9),
        callback=shared.finite,
        default=0.2,
        show_default=True,
        help="Share of the titles to measure on, of a corpus without parts.",
    ),
    shared.JSON,
)
def command(**given: Any) -> int:
    """Train a predictor of titles: sentence embedding, and ridge regression on log2 counts; minutes on a CPU.

    The penalty is chosen by cross-fitting, and metrics are of the test part. `valid`, if there is one, is learnt from
    too. The model scores with `--predictor titles,model=DIR`; it is the baseline that predictors of videos have to
    beat.

    \b
    Examples:
      popbench predictor train titles --corpus microlens,path=MicroLens-100k --out titles
      popbench predictor train titles --corpus table,path=t.csv,title=t,popularity=n --embedder hashing --out mine
    """
    return shared.interruptible(lambda progress: _train(progress, given), "no model was written")


def _train(progress: Progress, given: dict[str, Any]) -> int:
    from contextlib import closing

    from popbench_mmra.corpora import find_source
    from popbench_mmra.titles.embedding import DEFAULT, find_embedder
    from popbench_mmra.titles.workflows import train

    embedder = find_embedder(given["embedder"] or DEFAULT)
    source = find_source(given["corpus"], None, given["target"])
    out: Path = given["out"]
    with shared.locked(out), closing(embedder):
        card = train(source, embedder, given["target"], given["hold_out"], out, progress)
    progress.close()
    shared.show(card, out, as_json=given["as_json"])
    return 0

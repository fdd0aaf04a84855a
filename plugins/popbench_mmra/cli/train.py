"""`popbench predictor train`: train a popularity predictor on a corpus and its videos, or on its titles alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import unknown
from popbench_mmra.cli import shared
from popbench_mmra.cli.train_titles import command as titles

if TYPE_CHECKING:
    from popbench.progress import Progress


class _Kinds(click.Group):
    """Trains MMRA, unless the first word names another kind of predictor, which has options of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand everything to the command of the kind that is named first."""
        if args and not args[0].startswith("-"):
            kind = self.commands.get(args[0])
            if kind is None:
                raise unknown("kind of predictor", args[0], self.commands, "without a kind, MMRA is trained")
            return kind.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.group(
    "train",
    cls=_Kinds,
    commands={"titles": titles},
    invoke_without_command=True,
    subcommand_metavar="",
    short_help="Train a predictor: MMRA, the paper's, on videos, or a light one on titles.",
)
@shared.options(
    click.option("--corpus", required=True, metavar=shared.SPEC, help="Corpus with the parts train, valid and test."),
    shared.VIDEOS,
    shared.out_folder,
    shared.TARGET,
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        callback=shared.finite,
        default=shared.DEFAULTS.learning_rate,
        show_default=True,
        help="Of Adam.",
    ),
    click.option(
        "--epochs", type=click.IntRange(min=1), default=shared.DEFAULTS.epochs, show_default=True, help="At most."
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=1),
        default=shared.DEFAULTS.patience,
        show_default=True,
        help="Epochs without a better validation.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=shared.DEFAULTS.batch_size,
        show_default=True,
        help="Videos of a step.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        default=shared.DEFAULTS.seed,
        show_default=True,
        help="Of weights and order.",
    ),
    shared.VIDEO_FRAMES,
    shared.RETRIEVED,
    click.option(
        "--alpha",
        type=click.FloatRange(-100, 100),
        callback=shared.finite,
        default=shared.DEFAULTS.alpha,
        show_default=True,
        help="Weight of the negative attention.",
    ),
    *shared.ENCODERS,
    *shared.MACHINE,
    shared.JSON,
)
def command(**given: Any) -> int:
    """Train MMRA, the paper's predictor: features, split, retrieval, training, and metrics on the test part.

    The defaults are the paper's settings. What is done is kept: the same command goes on where it stopped. The model
    scores with `--predictor mmra,path=DIR`. `train titles` trains a light predictor of titles alone, without videos.

    \b
    Examples:
      popbench predictor train --corpus microlens,path=MicroLens-100k --videos MicroLens-100k/videos --out mmra
      popbench predictor train --corpus microlens,path=MicroLens-100k --videos videos --target views --out views
      popbench predictor train --corpus table,path=t.csv,title=t,popularity=n,parts=part --videos clips --out mine
      popbench predictor train titles --corpus table,path=t.csv,title=t,popularity=n --out titles
    """
    return shared.interruptible(lambda progress: _train(progress, given))


def _train(progress: Progress, given: dict[str, Any]) -> int:
    from popbench_mmra.corpora import find_source
    from popbench_mmra.encoders import find_encoders
    from popbench_mmra.settings import FRAMES, Settings
    from popbench_mmra.workflows import train

    encoders = find_encoders(given)
    source = find_source(given["corpus"], given["videos"], given["target"])
    shared.check_encoders(encoders, given["device"])
    names = ("learning_rate", "batch_size", "epochs", "patience", "seed", "retrieved", "alpha")
    settings = Settings(**{name: given[name] for name in names})
    out: Path = given["out"]
    with shared.locked(out), shared.extracting(encoders, given) as extractor:
        card = train(source, encoders, extractor(given["frames"] or FRAMES), settings, given["target"], out, progress)
    progress.close()
    shared.show(card, out, as_json=given["as_json"])
    return 0

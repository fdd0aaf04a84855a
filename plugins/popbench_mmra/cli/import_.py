"""`popbench predictor import`: make a predictor of a released checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.errors import UsageError
from popbench_mmra.cli import shared

if TYPE_CHECKING:
    from popbench.progress import Progress


@click.command("import", short_help="Make a predictor of a released checkpoint; no code in it is run.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@shared.options(
    shared.out_folder,
    click.option(
        "--bank",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Features of the videos to look up: .safetensors or .parquet.  [default: made from --corpus]",
    ),
    click.option("--corpus", metavar=shared.SPEC, help="Corpus to make the bank from, and to measure the model on."),
    shared.VIDEOS,
    shared.TARGET,
    click.option(
        "--trained-on",
        multiple=True,
        metavar="CORPUS/PART",
        help="What it was trained on; repeat.  [default: train and valid of microlens]",
    ),
    click.option(
        "--alpha",
        type=click.FloatRange(-100, 100),
        callback=shared.finite,
        help="Weight of the negative attention.  [default: the checkpoint's, else 0.6]",
    ),
    shared.RETRIEVED,
    shared.VIDEO_FRAMES,
    *shared.ENCODERS,
    *shared.MACHINE,
    shared.JSON,
)
def command(checkpoint: Path, **given: Any) -> int:
    """Take over CHECKPOINT, a whole module or a state dict of MMRA as torch saved it; no code in it is run.

    The bank comes from a file with the columns id, visual, textual, vector and target, or is made from a corpus and its
    videos.

    \b
    Examples:
      popbench predictor import MMRA.pth --corpus microlens,path=MicroLens-100k --videos videos --out mmra
      popbench predictor import MMRA.pth --bank bank.parquet --out mmra
    """
    return shared.interruptible(lambda progress: _import(progress, checkpoint, given))


def _import(progress: Progress, checkpoint: Path, given: dict[str, Any]) -> int:
    from popbench_mmra.checkpoint import read_checkpoint
    from popbench_mmra.corpora import find_source
    from popbench_mmra.encoders import find_encoders
    from popbench_mmra.workflows import CheckpointFacts, take_over

    bank: Path | None = given["bank"]
    if bank is None and given["corpus"] is None:
        raise UsageError("no videos to retrieve from: give --bank FILE, or --corpus and --videos to make a bank")
    weights = read_checkpoint(checkpoint)
    encoders, source = find_encoders(given), None
    if given["corpus"] is not None:
        source = find_source(given["corpus"], given["videos"], given["target"])
        shared.check_encoders(encoders, given["device"])
    facts = CheckpointFacts(given["target"], given["trained_on"], given["alpha"], given["retrieved"], given["frames"])
    out: Path = given["out"]
    with shared.locked(out), shared.extracting(encoders, given) as extractor:
        card = take_over(checkpoint, weights, bank, source, encoders, extractor, facts, out, progress)
    progress.close()
    shared.show(card, out, as_json=given["as_json"])
    return 0

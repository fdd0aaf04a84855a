"""Making predictors, from data to a folder that scores: training, taking over a checkpoint, and measuring either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import UsageError
from popbench.progress import Progress
from popbench.records import JSON
from popbench.video import sha256
from popbench_mmra import cards, folder
from popbench_mmra.dataset import Dataset, digest, gather
from popbench_mmra.folder import Card, Trained
from popbench_mmra.metrics import measure
from popbench_mmra.training import Known, Settings, fit, look_up

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.checkpoint import Checkpoint
    from popbench_mmra.corpora import Source
    from popbench_mmra.encoders import Encoder
    from popbench_mmra.features import Extractor
    from popbench_mmra.model import MMRA

PARTS = ("train", "valid", "test")
BANKED = ("train", "valid")
"""The parts that a bank is made of, and that a model has seen."""
_KEPT = ".training.pt"
"""The state of a training that is not over yet."""


def train(
    source: Source,
    encoders: Mapping[str, Encoder],
    extractor: Extractor,
    settings: Settings,
    target: str,
    out: Path,
    progress: Progress,
) -> Card:
    """Train a model on a corpus and write it to `out`; returns its card.

    Raises UsageError for data that nothing can be learnt from, RunError where something cannot be written.
    """
    dataset = gather(source.corpus, PARTS, extractor, target, progress)
    _check(dataset, source)
    device = extractor.device
    extractor.close()  # its memory is needed no more
    bank = dataset.bank(BANKED)
    known = {name: _look_up(dataset, name, bank, settings.retrieved) for name in PARTS}
    kept = out / _KEPT
    fitted = fit(known["train"], known["valid"], bank, settings, device, kept, digest(dataset), progress)
    card = {
        **cards.about_model(fitted.model, settings.retrieved, target, _seen(source), bank),
        **cards.about_encoders(encoders),
        **cards.about_corpus(source, dataset),
        **cards.about_training(settings, fitted),
        "metrics": _metrics(fitted.model, bank, known["test"], "test"),
    }
    written = folder.save(out, fitted.model, bank, card)
    kept.unlink(missing_ok=True)
    return written


def take_over(
    path: Path,
    checkpoint: Checkpoint,
    source: Source | None,
    encoders: Mapping[str, Encoder],
    extractor: Extractor | None,
    given: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> Card:
    """Write a model from a checkpoint, with a bank from a file or from a corpus; returns its card.

    Raises UsageError, in one line, for weights of another model and for a bank that does not go with them.
    """
    from popbench_mmra.bank import read_bank
    from popbench_mmra.model import from_state

    bank = None if given["bank"] is None else read_bank(given["bank"])
    alpha = given["alpha"] if given["alpha"] is not None else float(checkpoint.settings.get("alpha", 0.6))
    frames = given["frames"] if bank is None else int(bank.visual.shape[1])
    try:
        model = from_state(checkpoint.state, frames, alpha)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    dataset = None
    if source is not None and extractor is not None:
        dataset = gather(source.corpus, ("test",) if bank is not None else PARTS, extractor, given["target"], progress)
    if bank is None:
        assert dataset is not None
        bank = dataset.bank(BANKED)
    wrong = folder.misfit(model, bank, given["retrieved"])
    if wrong is not None:
        raise UsageError(f"{path}: {wrong}")
    metrics = None
    if dataset is not None and len(dataset.parts["test"]) > 1:
        metrics = _metrics(model, bank, _look_up(dataset, "test", bank, given["retrieved"]), "test")
    seen = list(given["trained_on"]) or _seen(source)
    card = {
        **cards.about_model(model, given["retrieved"], given["target"], seen, bank),
        **cards.about_encoders(encoders),
        **cards.about_corpus(source, dataset),
        "source": {"checkpoint": path.name, "sha256": sha256(path)},
        "training": None,
        "metrics": metrics,
    }
    return folder.save(out, model, bank, card)


def evaluate(
    trained: Trained,
    source: Source,
    part: str,
    encoders: Mapping[str, Encoder],
    extractor: Extractor,
    progress: Progress,
) -> tuple[dict[str, JSON], list[str]]:
    """Measure a model on a part of a corpus; returns metrics, and what has to be known of them, in one line each."""
    for name, encoder in encoders.items():
        known = trained.card["encoders"][name]["digest"]
        if None not in (known, encoder.digest) and encoder.digest != known:
            raise UsageError(f"{name}: {encoder.model} holds other weights than the model's encoder: give that one")
    dataset = gather(source.corpus, (part,), extractor, trained.card["target"], progress)
    if len(dataset.parts[part]) < 2:
        raise UsageError(_few(dataset, source, part))
    retrieved = int(trained.card["model"]["retrieved"])
    found = _metrics(trained.model, trained.bank, _look_up(dataset, part, trained.bank, retrieved), part)
    remarks = list(dataset.remarks)
    seen = [f"{source.name}/{name}" for name in (PARTS if part == "all" else (part,))]
    shared = [name for name in seen if name in trained.card["trained_on"]]
    if shared:
        remarks.append(f"The model was trained on {' and '.join(shared)}: these metrics flatter it.")
    return found, remarks


def _seen(source: Source | None) -> list[str]:
    name = "microlens" if source is None else source.name
    return [f"{name}/{part}" for part in BANKED]


def _check(dataset: Dataset, source: Source) -> None:
    for name in PARTS:
        if len(dataset.parts[name]) < 2:
            raise UsageError(_few(dataset, source, name))


def _few(dataset: Dataset, source: Source, part: str) -> str:
    told = f" ({'; '.join(dataset.remarks)})" if dataset.remarks else ""
    return (
        f"corpus {source.label}: {len(dataset.parts[part])} videos of part {part} can be used, at least 2 are needed"
        f"{told}: give the folder of videos with --videos, and a corpus that says which part each is in"
    )


def _look_up(dataset: Dataset, name: str, bank: Bank, retrieved: int) -> Known:
    part = dataset.parts[name]
    for what, width, wanted in (
        ("visual", part.features[0].visual.shape[1], bank.visual.shape[2]),
        ("textual", part.features[0].textual.shape[0], bank.textual.shape[1]),
        ("retriever", part.features[0].vector.shape[0], bank.vector.shape[1]),
    ):
        if width != wanted:
            raise UsageError(
                f"{what}: the encoder gives {width} numbers and the bank holds {wanted}: give the bank's own"
            )
    try:
        return look_up(part, bank, retrieved)
    except ValueError as error:
        raise UsageError(f"{error}: give more videos, or a smaller --retrieved") from None


def _metrics(model: MMRA, bank: Bank, known: Known, part: str) -> dict[str, JSON]:
    """Measure a model, and the mean of its bank beside it."""
    flat = np.full(len(known.log2), float(bank.target.mean(dtype=np.float64)))
    return {"part": part, "model": measure(known.predicted(model, bank), known.log2), "mean": measure(flat, known.log2)}

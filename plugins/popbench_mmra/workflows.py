"""Making predictors, from data to a folder that scores: training, taking over a checkpoint, and measuring either."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popbench.errors import UsageError
from popbench.progress import Progress
from popbench.records import JSON
from popbench.video import sha256
from popbench_mmra import cards, folder
from popbench_mmra.dataset import Dataset, digest, gather
from popbench_mmra.encoders import misfit
from popbench_mmra.folder import Card, Trained
from popbench_mmra.metrics import measure
from popbench_mmra.prediction import unfit
from popbench_mmra.settings import FRAMES, TARGETS, Settings
from popbench_mmra.training import Known, fit, identify, look_up

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.checkpoint import Checkpoint
    from popbench_mmra.corpora import Source
    from popbench_mmra.encoders import Encoder
    from popbench_mmra.features import Extractor
    from popbench_mmra.model import MMRA


@dataclass(frozen=True, slots=True)
class Taken:
    """What has to be said of a checkpoint, which does not say it: `alpha` None is its own, else 0.6."""

    target: str = TARGETS[0]
    trained_on: tuple[str, ...] = ()
    alpha: float | None = None
    retrieved: int = Settings().retrieved
    frames: int | None = None


PARTS = ("train", "valid", "test")
BANKED = ("train", "valid")
"""The parts that a bank is made of, and that a model has seen."""
RELEASED = "microlens"
"""The corpus that released checkpoints were trained on."""
_PART = re.compile(r"[^/\s]+/(train|valid|test|all)")
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
    key = identify(settings, digest(dataset), extractor.device)
    finished = _finished(out, key)
    if finished is not None:
        progress.notice(f"{out} holds this training already, finished: nothing was done")
        return finished
    device = extractor.device
    extractor.close()  # its memory is needed no more
    bank = dataset.bank(BANKED)
    known = {name: _look_up(dataset, name, bank, settings.retrieved) for name in PARTS}
    kept = out / _KEPT
    fitted = fit(known["train"], known["valid"], bank, settings, device, kept, key, progress)
    card = {
        **cards.about_model(fitted.model, settings.retrieved, target, _seen(source.name), bank),
        **cards.about_encoders(encoders),
        **cards.about_features(extractor),
        **cards.about_corpus(source, dataset),
        **cards.about_training(settings, fitted, key),
        "metrics": _metrics(fitted.model, bank, known["test"], "test"),
    }
    written = folder.save(out, fitted.model, bank, card)
    kept.unlink(missing_ok=True)
    return written


def _finished(out: Path, key: str) -> Card | None:
    """Return the card of the same training where it is finished; raises UsageError where the folder holds another."""
    if folder.problem(out) is not None:
        return None
    card = folder.read_card(out)
    if (card.get("training") or {}).get("key") == key:
        return card
    raise UsageError(f"{out} holds a model of other data or settings: choose another --out, or remove that one")


def take_over(
    path: Path,
    checkpoint: Checkpoint,
    bank_file: Path | None,
    source: Source | None,
    encoders: Mapping[str, Encoder],
    extractor: Callable[[int], Extractor],
    about: Taken,
    out: Path,
    progress: Progress,
) -> Card:
    """Write a model from a checkpoint, with a bank from a file or from a corpus; returns its card.

    `extractor` makes features of so many frames a video. Raises UsageError, in one line, for weights of another model
    and for a bank that does not go with them.
    """
    from popbench_mmra.bank import read_bank
    from popbench_mmra.model import from_state

    for part in about.trained_on:
        if not _PART.fullmatch(part):
            raise UsageError(
                f"--trained-on {part}: expected CORPUS/PART, as in microlens/train ({', '.join(PARTS)} or all)"
            )
    bank = None if bank_file is None else read_bank(bank_file)
    if bank is not None and about.frames not in (None, bank.visual.shape[1]):
        raise UsageError(f"{bank_file}: its videos have {bank.visual.shape[1]} frames: leave out --frames")
    alpha = about.alpha if about.alpha is not None else float(checkpoint.settings.get("alpha", 0.6))
    try:
        model = from_state(
            checkpoint.state, about.frames or FRAMES if bank is None else int(bank.visual.shape[1]), alpha
        )
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    fits = {"visual": model.feature_dim, "textual": model.feature_dim}
    wrong = None if bank is None else folder.misfit(model, bank, about.retrieved)
    wrong = wrong or misfit(encoders, fits)
    if wrong is not None:
        raise UsageError(f"{path}: {wrong}")
    dataset = made_by = None
    if source is not None:
        parts = PARTS if bank is None else ("test",)
        made_by = extractor(model.frames)
        dataset = gather(source.corpus, parts, made_by, about.target, progress)
    seen = list(about.trained_on) or _seen(RELEASED)
    if bank is None:
        assert dataset is not None
        bank = dataset.bank(BANKED)
        assert source is not None
        seen = list(dict.fromkeys([*seen, *_seen(source.name)]))  # an item of the bank would find itself
        wrong = folder.misfit(model, bank, about.retrieved)
        if wrong is not None:
            raise UsageError(f"{path}: {wrong}")
    metrics = None
    if dataset is not None and len(dataset.parts["test"]) > 1:
        metrics = _metrics(model, bank, _look_up(dataset, "test", bank, about.retrieved), "test")
    card = {
        **cards.about_model(model, about.retrieved, about.target, seen, bank),
        **cards.about_encoders(encoders),
        **cards.about_features(made_by if bank_file is None else None),
        **cards.about_corpus(source, dataset),
        "source": {"checkpoint": path.name, "sha256": sha256(path)},
        "bank": {
            "videos": len(bank),
            "file": None if bank_file is None else bank_file.name,
            "sha256": None if bank_file is None else sha256(bank_file),
        },
        "training": None,
        "metrics": metrics,
    }
    return folder.save(out, model, bank, card)


def evaluate(
    trained: Trained, source: Source, part: str, extractor: Extractor, progress: Progress
) -> tuple[dict[str, JSON], list[str]]:
    """Measure a model on a part of a corpus; returns metrics, and what has to be known of them, in one line each."""
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
    known = (trained.card["corpus"] or {}).get("parts", {}).get(part)
    if known not in (None, dataset.parts[part].digest):
        remarks.append(f"These are not the videos, or not the numbers, of part {part} that the card is of.")
    return found, remarks


def _seen(corpus: str) -> list[str]:
    return [f"{corpus}/{part}" for part in BANKED]


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
    first = part.features[0]
    wrong = unfit(bank, first.visual, first.textual, first.vector)
    if wrong is not None:
        raise UsageError(wrong)
    try:
        return look_up(part, bank, retrieved)
    except ValueError as error:
        raise UsageError(f"{error}: give more videos, or a smaller --retrieved") from None


def _metrics(model: MMRA, bank: Bank, known: Known, part: str) -> dict[str, JSON]:
    """Measure a model, and the mean of its bank beside it."""
    flat = np.full(len(known.log2), float(bank.target.mean(dtype=np.float64)))
    return {"part": part, "model": measure(known.predicted(model, bank), known.log2), "mean": measure(flat, known.log2)}

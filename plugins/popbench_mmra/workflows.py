"""What the three commands do: train a model, import a checkpoint, and measure either."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popbench.cards import measure_part
from popbench.errors import UsageError
from popbench.progress import Progress
from popbench.records import JSON
from popbench.video import sha256
from popbench_mmra import cards, folder
from popbench_mmra.card_files import refuse_other_kind
from popbench_mmra.dataset import Dataset, digest, gather, remarks_of
from popbench_mmra.encoders import width_mismatch
from popbench_mmra.folder import Card, Trained
from popbench_mmra.prediction import features_mismatch
from popbench_mmra.settings import FRAMES, TARGETS, Settings
from popbench_mmra.training import RetrievedPart, fit, identify, look_up

if TYPE_CHECKING:
    from popbench_mmra.bank import Bank
    from popbench_mmra.checkpoint import Checkpoint
    from popbench_mmra.corpora import Source
    from popbench_mmra.encoders import Encoder
    from popbench_mmra.features import Extractor
    from popbench_mmra.model import MMRA


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """Facts about a checkpoint that its file does not hold. `alpha` None takes the file's own, else 0.6."""

    target: str = TARGETS[0]
    trained_on: tuple[str, ...] = ()
    alpha: float | None = None
    retrieved: int = Settings().retrieved
    frames: int | None = None


PARTS = ("train", "valid", "test")
BANKED = ("train", "valid")
"""The parts that a bank is made of; the model has seen them."""
RELEASED = "microlens"
"""The corpus of released checkpoints."""
_PART = re.compile(r"[^/\s]+/(train|valid|test|all)")
_STATE_FILE = ".training.pt"
"""The file with the state of an unfinished training."""


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

    Raises UsageError for data that nothing can be learnt from, RunError if something cannot be written.
    """
    dataset = gather(source.corpus, PARTS, extractor, target, progress)
    _check(dataset, source)
    key = identify(settings, digest(dataset), extractor.device)
    finished = _finished(out, key)
    if finished is not None:
        progress.notice(f"{out} holds this training already, finished: nothing was done")
        return finished
    device = extractor.device
    extractor.close()  # frees the encoders' memory for training
    bank = dataset.bank(BANKED)
    parts = {name: _look_up(dataset, name, bank, settings.retrieved) for name in PARTS}
    kept = out / _STATE_FILE
    fitted = fit(parts["train"], parts["valid"], bank, settings, device, kept, key, progress)
    card = {
        **cards.about_model(fitted.model, settings.retrieved, target, _seen(source.name), bank),
        **cards.about_encoders(encoders),
        **cards.about_features(extractor),
        **cards.about_corpus(source, dataset),
        **cards.about_training(settings, fitted, key),
        "metrics": _metrics(fitted.model, bank, parts["test"], "test", dataset.parts["test"].tags),
    }
    written = folder.save(out, fitted.model, bank, card)
    kept.unlink(missing_ok=True)
    return written


def _finished(out: Path, key: str) -> Card | None:
    """Return the card of the same training if it is finished; raises UsageError if the folder holds another."""
    refuse_other_kind(out, "mmra")
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
    facts: CheckpointFacts,
    out: Path,
    progress: Progress,
) -> Card:
    """Write a model from a checkpoint, with a bank from a file or from a corpus; returns its card.

    `extractor` makes an Extractor for a number of frames per video. Raises UsageError for weights of another model and
    for a bank that does not fit them.
    """
    from popbench_mmra.bank import read_bank
    from popbench_mmra.model import from_state

    for part in facts.trained_on:
        if not _PART.fullmatch(part):
            raise UsageError(
                f"--trained-on {part}: expected CORPUS/PART, as in microlens/train ({', '.join(PARTS)} or all)"
            )
    bank = None if bank_file is None else read_bank(bank_file)
    if bank is not None and facts.frames not in (None, bank.visual.shape[1]):
        raise UsageError(f"{bank_file}: its videos have {bank.visual.shape[1]} frames: leave out --frames")
    alpha = facts.alpha if facts.alpha is not None else float(checkpoint.settings.get("alpha", 0.6))
    try:
        model = from_state(
            checkpoint.state, facts.frames or FRAMES if bank is None else int(bank.visual.shape[1]), alpha
        )
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    fits = {"visual": model.feature_dim, "textual": model.feature_dim}
    wrong = None if bank is None else folder.bank_mismatch(model, bank, facts.retrieved)
    wrong = wrong or width_mismatch(encoders, fits)
    if wrong is not None:
        raise UsageError(f"{path}: {wrong}")
    dataset = made_by = None
    if source is not None:
        parts = PARTS if bank is None else ("test",)
        made_by = extractor(model.frames)
        dataset = gather(source.corpus, parts, made_by, facts.target, progress)
    seen = list(facts.trained_on) or _seen(RELEASED)
    if bank is None:
        assert dataset is not None
        bank = dataset.bank(BANKED)
        assert source is not None
        seen = list(dict.fromkeys([*seen, *_seen(source.name)]))  # the bank holds these videos: each would find itself
        wrong = folder.bank_mismatch(model, bank, facts.retrieved)
        if wrong is not None:
            raise UsageError(f"{path}: {wrong}")
    metrics = None
    if dataset is not None and len(dataset.parts["test"]) > 1:
        data = _look_up(dataset, "test", bank, facts.retrieved)
        metrics = _metrics(model, bank, data, "test", dataset.parts["test"].tags)
    card = {
        **cards.about_model(model, facts.retrieved, facts.target, seen, bank),
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
    """Measure a model on a part of a corpus; returns metrics, and remarks on them of one line each."""
    dataset = gather(source.corpus, (part,), extractor, trained.card["target"], progress)
    if len(dataset.parts[part]) < 2:
        raise UsageError(_too_few(dataset, source, part))
    retrieved = int(trained.card["model"]["retrieved"])
    data = _look_up(dataset, part, trained.bank, retrieved)
    metrics = _metrics(trained.model, trained.bank, data, part, dataset.parts[part].tags)
    seen = [f"{source.name}/{name}" for name in (PARTS if part == "all" else (part,))]
    shared = [name for name in seen if name in trained.card["trained_on"]]
    return metrics, remarks_of(trained.card, dataset, part, shared)


def _seen(corpus: str) -> list[str]:
    return [f"{corpus}/{part}" for part in BANKED]


def _check(dataset: Dataset, source: Source) -> None:
    for name in PARTS:
        if len(dataset.parts[name]) < 2:
            raise UsageError(_too_few(dataset, source, name))


def _too_few(dataset: Dataset, source: Source, part: str) -> str:
    remarks = f" ({'; '.join(dataset.remarks)})" if dataset.remarks else ""
    return (
        f"corpus {source.label}: {len(dataset.parts[part])} videos of part {part} can be used, at least 2 are needed"
        f"{remarks}: give the folder of videos with --videos, and a corpus that says which part each is in"
    )


def _look_up(dataset: Dataset, name: str, bank: Bank, retrieved: int) -> RetrievedPart:
    part = dataset.parts[name]
    first = part.features[0]
    wrong = features_mismatch(bank, first.visual, first.textual, first.vector)
    if wrong is not None:
        raise UsageError(wrong)
    try:
        return look_up(part, bank, retrieved)
    except ValueError as error:
        raise UsageError(f"{error}: give more videos, or a smaller --retrieved") from None


def _metrics(model: MMRA, bank: Bank, data: RetrievedPart, part: str, tags: Sequence[str]) -> dict[str, JSON]:
    """Measure a model, and as its baseline the mean of its bank."""
    flat = float(bank.target.mean(dtype=np.float64))
    return measure_part(part, data.predicted(model, bank), data.log2, flat, tags)

"""What the commands do for `titles`: train it on a corpus, and measure it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popbench.cards import measure_part, spearman
from popbench.errors import UsageError
from popbench.keys import digest
from popbench.progress import Progress
from popbench.records import JSON
from popbench.text import counted
from popbench_mmra import cards
from popbench_mmra.card_files import refuse_other_kind
from popbench_mmra.corpora import Source
from popbench_mmra.dataset import Dataset, Part, remarks_of
from popbench_mmra.titles import folder
from popbench_mmra.titles.data import FOLDS, LEARNT, PARTS, folds, gather_titles, learnt, repeated
from popbench_mmra.titles.embedding import TitleEmbedder
from popbench_mmra.titles.folder import KIND, Card
from popbench_mmra.titles.ridge import PENALTIES, Ridge, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST, FEWEST_TEST = 20, 5
"""The fewest different titles to learn from, and the fewest videos to measure on."""


def train(source: Source, embedder: TitleEmbedder, target: str, hold_out: float, out: Path, progress: Progress) -> Card:
    """Train a model on the titles of a corpus and write it to `out`; returns its card.

    Raises UsageError for data that nothing can be learnt from, RunError if something cannot be written.
    """
    dataset, split = gather_titles(source.corpus, target, hold_out)
    for line in dataset.remarks:
        progress.notice(line)
    data, test = learnt(dataset), dataset.parts["test"]
    _check(dataset, data, source)
    parts = {name: [part.digest, part.titles] for name, part in dataset.parts.items()}
    key = digest(target, embedder.digest, parts, list(PENALTIES), FOLDS)
    finished = _finished(out, key)
    if finished is not None:
        progress.notice(f"{out} holds this training already, finished: nothing was done")
        return finished
    rows = embedder.encode([*data.titles, *test.titles], progress)
    fitted = fit(rows[: len(data)], data.log2, folds(data.titles))
    own = float(spearman(fitted.held_out, data.log2))
    dataset.remarks += repeated(dataset)
    card = {
        "target": target,
        "model": {"width": rows.shape[1]},
        **({"demo": True} if source.corpus.demo else {}),
        "trained_on": [f"{source.name}/{name}" for name in (("test",) if split else LEARNT)],
        "versions": cards.versions(),
        "embedder": {"spec": embedder.spec, "label": embedder.label, "digest": embedder.digest},
        **cards.about_corpus(source, dataset),
        "training": {
            "key": key,
            "folds": FOLDS,
            "penalty": fitted.penalty,
            "penalties": list(PENALTIES),
            "losses": [float(f"{loss:.6g}") for loss in fitted.losses],
            "src": float(f"{own:.6g}") if math.isfinite(own) else None,
            "hold_out": hold_out if split else None,
        },
        "metrics": _metrics(fitted.model, rows[len(data) :], test, "test"),
    }
    return folder.save(out, fitted.model, card)


def evaluate(
    model: Ridge, card: Card, embedder: TitleEmbedder, source: Source, part: str, progress: Progress
) -> tuple[dict[str, JSON], list[str]]:
    """Measure a model on a part of a corpus; returns metrics, and remarks on them of one line each."""
    same = source.name == card["corpus"]["name"]
    dataset, split = gather_titles(source.corpus, card["target"], card["training"]["hold_out"] if same else None)
    dataset.parts["all"] = learnt(dataset)
    dataset.parts["all"].extend(dataset.parts["test"])
    data = dataset.parts[part]
    if len(data) < 2:
        raise UsageError(_too_few(dataset, source, f"{counted(len(data), 'video')} of part {part}", 2))
    metrics = _metrics(model, embedder.encode(data.titles, progress), data, part)
    if split:
        seen = [] if part == "test" else ["the videos that are not held out"]
    else:
        seen = [f"{source.name}/{name}" for name in (PARTS if part == "all" else (part,))]
        seen = [name for name in seen if name in card["trained_on"]]
    return metrics, remarks_of(card, dataset, part, seen)


def _metrics(model: Ridge, rows: NDArray[np.float32], data: Part, part: str) -> dict[str, JSON]:
    return measure_part(part, model.predict(rows), data.log2, model.mean, data.tags)


def _check(dataset: Dataset, data: Part, source: Source) -> None:
    titles = len(set(data.titles))
    if titles < FEWEST:
        raise UsageError(_too_few(dataset, source, f"{counted(titles, 'title')} to learn from", FEWEST))
    if len(dataset.parts["test"]) < FEWEST_TEST:
        measured = f"{counted(len(dataset.parts['test']), 'video')} of part test"
        raise UsageError(_too_few(dataset, source, measured, FEWEST_TEST))
    if len(set(data.target)) == 1:
        raise UsageError(
            f"corpus {source.label}: all {len(data):,} counts are {2 ** data.target[0]:,.0f}, nothing can be learnt: "
            "name the column of counts"
        )


def _too_few(dataset: Dataset, source: Source, what: str, needed: int) -> str:
    remarks = [*dataset.remarks, *source.corpus.remarks()]
    told = f" ({'; '.join(remarks)})" if remarks else ""
    return (
        f"corpus {source.label}: {what}, at least {needed} are needed{told}: give a corpus with more videos, which has "
        "the parts train and test, or no parts at all"
    )


def _finished(out: Path, key: str) -> Card | None:
    """Return the card of the same training if it is finished; raises UsageError if the folder holds another."""
    refuse_other_kind(out, KIND)
    if folder.problem(out) is not None:
        return None
    card = folder.read_card(out)
    if card["training"]["key"] == key:
        return card
    raise UsageError(f"{out} holds a model of other data or settings: choose another --out, or remove that one")

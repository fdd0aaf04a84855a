"""The titles and counts that `titles` is trained and measured on, part by part, and their folds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import popbench
from popbench.text import counted
from popbench_mmra.dataset import Dataset, Part, remarks_on, usable

PARTS = ("train", "valid", "test")
LEARNT = ("train", "valid")
"""The parts that are learnt from: the penalty is chosen within them, so that `valid` is not needed for it."""
FOLDS = 5


def gather_titles(corpus: popbench.Corpus, target: str, hold_out: float | None) -> tuple[Dataset, bool]:
    """Read the videos of all parts that have a title and a count of at least 1.

    With `hold_out`, a corpus without the parts train and valid is split: that share of the titles of its part test
    stays test, and the others are train. Equal titles are always on one side.

    Returns the data, and whether they were split.
    Raises UsageError for a corpus that cannot be read.
    """
    left_out: Counter[str] = Counter()
    dataset = Dataset({part: Part() for part in PARTS}, [])
    for name, part in dataset.parts.items():
        for row in usable(corpus, name, target, left_out, videos=False):
            part.add(row)
    dataset.remarks = remarks_on(left_out)
    if hold_out is None or len(learnt(dataset)) or not len(dataset.parts["test"]):
        return dataset, False
    return _split(dataset, hold_out), True


def learnt(dataset: Dataset) -> Part:
    """Return the videos that are learnt from as one part."""
    whole = Part()
    for name in LEARNT:
        whole.extend(dataset.parts[name])
    return whole


def folds(titles: Sequence[str]) -> NDArray[np.int64]:
    """Return the fold of each title; equal titles are in one, and it does not depend on their order."""
    place = {title: number % FOLDS for number, title in enumerate(_drawn(titles, "fold"))}
    return np.array([place[_plain(title)] for title in titles], np.int64)


def repeated(dataset: Dataset) -> list[str]:
    """Return a remark on titles of part test that are learnt from too; none if there are none."""
    seen = set(map(_plain, learnt(dataset).titles))
    count = sum(_plain(title) in seen for title in dataset.parts["test"].titles)
    return [f"part test: {counted(count, 'video')} with a title that was learnt from"] if count else []


def _split(dataset: Dataset, hold_out: float) -> Dataset:
    whole = dataset.parts["test"]
    order = _drawn(whole.titles, "part")
    held = set(order[: round(hold_out * len(order))])
    parts = {part: Part() for part in PARTS}
    for id_, title, tag, log2 in zip(whole.ids, whole.titles, whole.tags, whole.target, strict=True):
        part = parts["test" if _plain(title) in held else "train"]
        part.ids.append(id_)
        part.titles.append(title)
        part.tags.append(tag)
        part.target.append(log2)
    remark = f"no parts: {hold_out:g} of the titles, drawn at random, are held out as part test"
    return Dataset(parts, [*dataset.remarks, remark])


def _drawn(titles: Sequence[str], purpose: str) -> list[str]:
    """Return the different titles in an order that is random and always the same."""

    def drawn(title: str) -> str:
        return hashlib.sha256(f"{purpose}\0{title}".encode("utf-8", "surrogatepass")).hexdigest()

    return sorted(set(map(_plain, titles)), key=drawn)


def _plain(title: str) -> str:
    return " ".join(title.casefold().split())

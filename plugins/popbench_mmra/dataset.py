"""Makes the data that MMRA is trained and measured on: features and targets of each part of a corpus."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
from popbench.errors import UsageError
from popbench.progress import Progress
from popbench.text import counted
from popbench_mmra.bank import Bank
from popbench_mmra.features import Extractor, Features, Item

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REPORTED = 3
"""How many unreadable videos are reported one by one."""


@dataclass
class Part:
    """One part of a corpus: titles, tags, features and log2 popularity of its videos, in the corpus's order.

    Predictors of titles alone need no features.
    """

    ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    features: list[Features] = field(default_factory=list)
    target: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, row: popbench.Reference) -> None:
        """Add a video without its features."""
        self.ids.append(row.id)
        self.titles.append(row.title)
        self.tags.append(row.tag)
        self.target.append(math.log2(row.popularity))

    def extend(self, other: Part) -> None:
        """Add the videos of another part, without their features."""
        for into, given in ((self.ids, other.ids), (self.titles, other.titles), (self.tags, other.tags)):
            into.extend(given)
        self.target.extend(other.target)

    def stacked(self, name: str) -> NDArray[np.float32]:
        """Return one feature of all videos: `visual` (n, F, D), `textual` (n, D) or `vector` (n, R)."""
        return np.stack([getattr(one, name) for one in self.features])

    @property
    def digest(self) -> str:
        """Return a digest of the part's videos and their popularity that does not depend on their order."""
        lines = sorted(f"{id_} {target!r}" for id_, target in zip(self.ids, self.target, strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def log2(self) -> NDArray[np.float64]:
        """The targets, (n,)."""
        return np.array(self.target)


@dataclass
class Dataset:
    """The parts of a corpus, and remarks of one line each on what was left out."""

    parts: dict[str, Part]
    remarks: list[str]

    @property
    def split(self) -> str:
        """Return text that says which video is in which part; it does not depend on their order."""
        lines = sorted(f"{name} {id_}" for name, part in self.parts.items() for id_ in part.ids)
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def bank(self, names: Sequence[str] = ("train", "valid")) -> Bank:
        """Make a bank of some parts; raises UsageError if they hold no video."""
        parts = [self.parts[name] for name in names if len(self.parts[name])]
        if not parts:
            raise UsageError(f"no video of the parts {' and '.join(names)} can be used: {'; '.join(self.remarks)}")

        def joined(name: str) -> NDArray[np.float32]:
            return np.concatenate([part.stacked(name) for part in parts])

        target = np.concatenate([part.log2 for part in parts]).astype(np.float32)
        ids = [id_ for part in parts for id_ in part.ids]
        return Bank(ids, joined("visual"), joined("textual"), joined("vector"), target)


def gather(
    corpus: popbench.Corpus, parts: Sequence[str], extractor: Extractor, target: str, progress: Progress
) -> Dataset:
    """Make the features of the videos of some parts that have a file, a title and a popularity of at least 1.

    Raises UsageError for a corpus that cannot be read, RunError if features cannot be stored.
    """
    left_out: Counter[str] = Counter()
    rows = {part: list(usable(corpus, part, target, left_out)) for part in parts}
    total = sum(map(len, rows.values()))
    dataset = Dataset({part: Part() for part in parts}, [])
    broken: list[str] = []
    progress.stage("features", total, 0)
    of_item = [(part, row) for part in parts for row in rows[part]]
    items = (Item(str(index), row.title, row.video) for index, (_, row) in enumerate(of_item) if row.video is not None)
    for group in extractor.groups(items):
        for item, features in group:
            part, row = of_item[int(item.id)]
            if isinstance(features, str):
                broken.append(features)
                progress.problem(f"video {row.id} is left out: {features}") if len(broken) <= _REPORTED else None
                continue
            into = dataset.parts[part]
            into.add(row)
            into.features.append(features)
        progress.advance(len(group))
    if broken:
        left_out["whose video cannot be read"] = len(broken)
    dataset.remarks = remarks_on(left_out)
    for line in dataset.remarks:
        progress.notice(line)
    return dataset


def remarks_on(left_out: Counter[str]) -> list[str]:
    """Return one line for each reason for which videos were left out."""
    return [f"left out: {counted(count, 'video')} {why}" for why, count in left_out.items()]


def remarks_of(card: Mapping[str, Any], dataset: Dataset, part: str, seen: Sequence[str]) -> list[str]:
    """Return remarks on metrics of a part, one line each; `seen` are the parts of it that the model was trained on."""
    remarks = list(dataset.remarks)
    if seen:
        remarks.append(f"The model was trained on {' and '.join(seen)}: these metrics are too favourable.")
    measured_digest = (card["corpus"] or {}).get("parts", {}).get(part)
    if measured_digest not in (None, dataset.parts[part].digest):
        remarks.append(f"These are not the videos, or not the numbers, of part {part} that the card is of.")
    return remarks


def usable(
    corpus: popbench.Corpus, part: str, target: str, left_out: Counter[str], *, videos: bool = True
) -> Iterator[popbench.Reference]:
    """Yield the rows of a part that can be used, and count the others; without `videos`, files are not needed."""
    for row in corpus.rows(part):
        if not row.title.strip():
            left_out["without a title"] += 1
        elif row.popularity < 1:
            left_out[f"with less than 1 {target.removesuffix('s')}"] += 1
        elif videos and row.video is None:
            left_out["without a video file"] += 1
        else:
            yield row


def digest(dataset: Dataset) -> str:
    """Hash the data that a training depends on: features, targets and split."""
    hasher = hashlib.sha256(dataset.split.encode())
    arrays: Iterator[Any] = (
        array
        for _, part in sorted(dataset.parts.items())
        if len(part)
        for array in (part.stacked("visual"), part.stacked("textual"), part.stacked("vector"), part.log2)
    )
    for array in arrays:
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()[:32]

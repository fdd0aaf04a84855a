"""Corpora and embedders that break one rule each, for tests of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
from conforming_components import Letters, Shelf

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Moody(Letters):
    """Is an embedder that may answer otherwise."""

    repeatable = False


class Wide(Letters):
    """Embeds in float64."""

    def encode(self, texts: Sequence[str]) -> Any:
        return super().encode(texts).astype(np.float64)


class Flat(Letters):
    """Forgets the width where there are no texts."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().encode(texts) if texts else np.zeros((0,), np.float32)


class ListRows(Letters):
    """Returns lists."""

    def encode(self, texts: Sequence[str]) -> Any:
        return super().encode(texts).tolist()


class EmptyRaises(Letters):
    """Cannot embed no texts."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.row(text) for text in texts])


class LongRows(Letters):
    """Does not normalise."""

    def row(self, text: str) -> NDArray[np.float32]:
        return (2 * super().row(text)).astype(np.float32)


class Centred(Letters):
    """Takes the mean of the batch away."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = super().encode(texts)
        if len(texts) < 2:
            return rows
        rows = rows - rows.mean(axis=0)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class LongQueries(Letters):
    """Doubles the rows of queries."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return 2 * self.encode(texts)


class Shaky(Letters):
    """Rolls every call's rows by one more place."""

    calls = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        return np.roll(super().encode(texts), self.calls, axis=1)


class TupleRows(Shelf):
    """Yields tuples."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, (row.id, row.title)) for part, row in super().books()]

    def content(self) -> str:
        return "tuples"


class NegativeRows(Shelf):
    """Counts below 0."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, replace(row, popularity=-1.0)) for part, row in super().books()]


class JudgedRows(Shelf):
    """Says what is popular, which is for retrieval to say."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, replace(row, popular=True)) for part, row in super().books()]


class SameIds(Shelf):
    """Has each row twice."""

    def books(self) -> list[tuple[str, Any]]:
        return super().books() * 2


class AllIsTrain(Shelf):
    """Takes 'all' for 'train'."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        return super().rows("train" if part == "all" else part)


class Bottomless(Shelf):
    """Has no rows."""

    def books(self) -> list[tuple[str, Any]]:
        return []


class AnyPart(Shelf):
    """Takes any part for an empty one."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        return super().rows(part) if part in ("train", "valid", "test", "all") else iter(())


class KeyedParts(Shelf):
    """Raises KeyError for an unknown part."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        if part == "no-such-part":
            raise KeyError(part)
        return super().rows(part)


class Reordered(Shelf):
    """Reads in another order each time."""

    reads = 0

    def books(self) -> list[tuple[str, Any]]:
        type(self).reads += 1
        books, first = super().books(), self.reads % 3
        return books[first:] + books[:first]


class NumberContent(Shelf):
    """Identifies its rows by a number."""

    def content(self) -> Any:
        return 3


class ContentRaises(Shelf):
    """Cannot say what its rows are, and has a fingerprint all the same."""

    def content(self) -> str:
        raise OSError("no such file")

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "shelf", "version": "1", "options": self.options.determining()}


class ForgetsContent(Shelf):
    """Leaves what the rows are out of the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "shelf", "version": "1", "options": self.options.determining()}


class OtherContent(Shelf):
    """Has something else in the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "content": "three videos"}


class ContentOfInstance(OtherContent):
    """Identifies its rows otherwise each time it is made."""

    made = 0

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        type(self).made += 1
        self.number = self.made

    def content(self) -> str:
        return f"content {self.number}"


class ContentOfUse(OtherContent):
    """Identifies its rows by how often they were read."""

    reads = 0

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        self.reads += 1
        return super().rows(part)

    def content(self) -> str:
        return f"read {self.reads} times"


class RemarksText(Shelf):
    """Has one remark instead of a list of them."""

    def remarks(self) -> Any:
        return "one row skipped"


class RemarksUnread(Shelf):
    """Has no remarks before it was read."""

    skipped: list[str]

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        self.skipped = []
        return super().rows(part)

    def content(self) -> str:
        return "three videos"

    def remarks(self) -> list[str]:
        return self.skipped


class KnownAsNone(Shelf):
    """Is known as nothing."""

    known_as = None  # type: ignore[assignment]

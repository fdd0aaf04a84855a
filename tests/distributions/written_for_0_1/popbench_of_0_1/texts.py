"""An embedder and a corpus as they were written for popbench 0.1. Never to be changed: see the README."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import popbench

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Initials(popbench.Embedder):
    """Counts the initials of words; queries count those of their first ten."""

    version = "1"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), 27), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[ord(word[0]) - 96 if "a" <= word[0] <= "z" else 0] += 1
            length = np.linalg.norm(row)
            if length > 0:
                row /= length
        return rows

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode([" ".join(text.split()[:10]) for text in texts])


class Shelf(popbench.Corpus):
    """Twelve published videos, of which the file is lost."""

    version = "1"
    known_as = "shelf"
    TITLES: ClassVar = (
        ("a cat on a sofa", "pets", 812), ("a dog in the snow", "pets", 3), ("soup for two", "food", 90),
        ("one long noodle", "food", 4), ("a riddle for children", "games", 44), ("a tower of cards", "games", 7),
        ("cats at night", "pets", 15), ("bread in an hour", "food", 230), ("chess in the park", "games", 61),
        ("a parrot that sings", "pets", 505), ("salt and lemons", "food", 1), ("a kite for the beach", "games", 19),
    )  # fmt: skip

    class Options(popbench.CorpusOptions):
        lost: bool = True

    def content(self) -> str:
        return hashlib.sha256(repr(self.TITLES).encode()).hexdigest()

    def remarks(self) -> list[str]:
        return ["no video has a file"] if self.options.lost else []

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        if part not in ("train", "valid", "test", "all"):
            raise ValueError(f"no part {part!r}: expected train, valid, test or all")
        for number, (title, tag, comments) in enumerate(self.TITLES):
            if part in ("all", ("train", "test", "test", "valid")[number % 4]):
                yield popbench.Reference(f"v{number}", title, "a picture", f"{title} #{tag}", tag, comments)

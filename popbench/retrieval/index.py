"""One part of a corpus, ready to be searched: arrays that are mapped from disk, and rows that are read when chosen.

Rows stand in an order in which every set that retrieval asks for is a few slices: by tag, in each by falling
popularity, then by id. So the popular videos of a tag are the start of its slice and the unpopular ones its end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.records import Reference
from popbench.retrieval.search import load_faiss

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABOUT = "about.json"
"""Written last: an index without it is not finished."""
ROWS = "rows.jsonl"
ANN = "ann.faiss"
TITLES = "titles.npy"

ARRAYS = (
    "keys",
    "vectors",
    "places",
    "popularity",
    "id_rank",
    "tag_starts",
    "tag_vectors",
    "tag_means",
    "title_hashes",
)


@dataclass(frozen=True)
class Index:
    """An index on disk. `n` rows of `tags`, vectors float32 (n, d) by position."""

    folder: Path
    n: int
    tags: Sequence[str]
    remarks: Sequence[str]
    vectors: NDArray[np.float32]
    places: NDArray[np.int64]
    """Where each row stands in the file of rows: (n, 2), first byte and length."""
    popularity: NDArray[np.float64]
    id_rank: NDArray[np.int64]
    """Of each row, the place of its id among all ids: what breaks ties."""
    tag_starts: NDArray[np.int64]
    """Of each tag, the position of its first row; then n."""
    tag_vectors: NDArray[np.float32]
    tag_means: NDArray[np.float32]
    title_hashes: NDArray[np.uint64]
    """Sorted hashes of folded titles."""

    @classmethod
    def open(cls, folder: Path) -> Index | None:
        """Map a finished index; None where there is none, or none that can be read."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            arrays: dict[str, Any] = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
            del arrays["keys"]
            found = cls(folder, about["n"], about["tags"], about["remarks"], **arrays)
            whole = (folder / ROWS).stat().st_size == about["bytes"] and len(found.vectors) == found.n
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None
        return found if whole else None

    def slice_of(self, tag: int) -> tuple[int, int]:
        """Return the positions of a tag's rows: from, to."""
        return int(self.tag_starts[tag]), int(self.tag_starts[tag + 1])

    @cached_property
    def titles(self) -> NDArray[np.float32]:
        """The vectors of titles, by position; see `building.embed_titles`."""
        found: NDArray[np.float32] = np.load(self.folder / TITLES, mmap_mode="r")
        return found

    @cached_property
    def ann(self) -> Any:
        """The approximate index (faiss) of a large corpus; None for one that is searched exactly."""
        path = self.folder / ANN
        if not path.exists():
            return None
        faiss = load_faiss()
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)

    @cached_property
    def _rows(self) -> Any:
        return np.memmap(self.folder / ROWS, np.uint8, "r")

    def row(self, position: int) -> Reference:
        """Read one row."""
        start, length = (int(value) for value in self.places[position])
        return parse_row(bytes(self._rows[start : start + length]))


def dump_row(row: Reference) -> bytes:
    """Write a row as a line. Where its video is depends on the machine, and is asked of the corpus instead."""
    values = [row.id, row.title, row.description, row.caption, row.tag, float(row.popularity)]
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def parse_row(line: bytes) -> Reference:
    """Read a line back."""
    id_, title, description, caption, tag, popularity = json.loads(line)
    whole = int(popularity) if popularity == int(popularity) else popularity
    return Reference(id_, title, description, caption, tag, whole)


def text_of(row: Reference) -> str:
    """Join what is embedded of a video: title, cover description and caption, as the paper's released code has it."""
    return f"{row.title} {row.description} {row.caption}"

"""The index of a part of a corpus: arrays that are mapped from disk, and rows that are read when they are chosen.

Rows are sorted by tag, then by falling popularity, then by id. The popular videos of a tag are then the start of a
slice and the unpopular ones its end, so that every set that retrieval searches is a few slices.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import UsageError
from popbench.records import Reference
from popbench.retrieval.vectors import SUMMED_BYTES, are_whole, checksum, read_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABOUT_FILE = "about.json"
"""Written last: an index without it is incomplete."""
ROWS_FILE = "rows.jsonl"
ANN_FILE = "ann.faiss"
TITLES_FILE = "titles.npy"
SUMMED = ("places", "popularity", "id_rank", "tag_starts", "tag_vectors", "tag_means", "title_hashes")
"""The arrays whose checksums are in the index's file; that of the vectors is in the file of their keys."""


@dataclass(frozen=True)
class Index:
    """An index on disk: `n` rows with their `tags`, and vectors as float32 (n, d), by position."""

    folder: Path
    n: int
    tags: Sequence[str]
    remarks: Sequence[str]
    vectors: NDArray[np.float32]
    places: NDArray[np.int64]
    """Each row's first byte and length in the file of rows: (n, 2)."""
    popularity: NDArray[np.float64]
    id_rank: NDArray[np.int64]
    """Each row's rank by id, which breaks ties."""
    tag_starts: NDArray[np.int64]
    """The position of each tag's first row, and n at the end."""
    tag_vectors: NDArray[np.float32]
    tag_means: NDArray[np.float32]
    title_hashes: NDArray[np.uint64]
    """Hashes of folded titles, by position."""

    @classmethod
    def open(cls, folder: Path) -> Index | None:
        """Open a complete index; None if there is none, or it is damaged."""
        try:
            properties = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
            n, tags, width = properties["n"], properties["tags"], properties["width"]
            whole = all((folder / name).stat().st_size == size for name, size in properties["sizes"].items())
            keys = read_array(folder / "keys.npy", "V16", n)
            shapes: dict[str, tuple[Any, ...]] = {
                "vectors": (np.float32, n, width),
                "places": (np.int64, n, 2),
                "popularity": (np.float64, n),
                "id_rank": (np.int64, n),
                "tag_starts": (np.int64, len(tags) + 1),
                "tag_vectors": (np.float32, len(tags), width),
                "tag_means": (np.float32, len(tags), width),
                "title_hashes": (np.uint64, n),
            }
            whole = whole and all(checksum(folder / f"{name}.npy") == properties["sums"][name] for name in SUMMED)
            arrays: dict[str, Any] = {name: read_array(folder / f"{name}.npy", *of) for name, of in shapes.items()}
            rows = properties["sums"].get(ROWS_FILE)  # earlier releases left it out
            if rows is not None and properties["sizes"][ROWS_FILE] <= SUMMED_BYTES:
                whole = whole and checksum(folder / ROWS_FILE) == rows
            if not whole or keys is None or any(array is None for array in arrays.values()):
                return None
            if not are_whole(folder / "keys.npy", keys):
                return None
            return cls(folder, n, tags, properties["remarks"], **arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def slice_of(self, tag: int) -> tuple[int, int]:
        """Return the positions of a tag's first row and of the first row after it."""
        return int(self.tag_starts[tag]), int(self.tag_starts[tag + 1])

    def titles(self) -> NDArray[np.float32] | None:
        """Map the vectors of titles, by position; None if `popbench.retrieval.build.embed_titles` has not run yet."""
        return read_array(self.folder / TITLES_FILE, np.float32, *self.vectors.shape)

    @cached_property
    def ann(self) -> Any:
        """The approximate index (faiss) of a large corpus; None for a corpus that is searched exactly."""
        path = self.folder / ANN_FILE
        if not path.exists():
            return None
        faiss = load_faiss()
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)

    @cached_property
    def _rows(self) -> Any:
        return np.memmap(self.folder / ROWS_FILE, np.uint8, "r")

    def row(self, position: int) -> Reference:
        """Read one row."""
        start, length = (int(value) for value in self.places[position])
        try:
            return parse_row(bytes(self._rows[start : start + length]))
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{self.folder / ROWS_FILE} is damaged: remove {self.folder}, and it is made anew"
            ) from error


def dump_row(row: Reference) -> bytes:
    """Return a row as a line of JSON, without the path of its video, which depends on the machine."""
    values = [row.id, row.title, row.description, row.caption, row.tag, float(row.popularity)]
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def parse_row(line: bytes) -> Reference:
    """Return the row of a line that `dump_row` wrote."""
    id_, title, description, caption, tag, popularity = json.loads(line)
    whole = int(popularity) if popularity == int(popularity) else popularity
    return Reference(id_, title, description, caption, tag, whole)


def text_of(row: Reference) -> str:
    """Return the text of a video that is embedded: title, description and caption, as in the paper's released code."""
    return f"{row.title} {row.description} {row.caption}"


def load_faiss() -> Any:
    """Import faiss, untyped: its type hints lack much of it."""
    import faiss

    return faiss

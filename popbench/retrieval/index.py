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

from popbench.errors import UsageError
from popbench.records import Reference
from popbench.retrieval.vectors import checksum, read_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABOUT_FILE = "about.json"
"""Written last: an index without it is not finished."""
ROWS_FILE = "rows.jsonl"
ANN_FILE = "ann.faiss"
TITLES_FILE = "titles.npy"
SUMMED = ("places", "popularity", "id_rank", "tag_starts", "tag_vectors", "tag_means", "title_hashes")
"""The arrays whose bytes are checked when an index is opened: all but the large ones."""


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
    """Hashes of folded titles, by position."""

    @classmethod
    def open(cls, folder: Path) -> Index | None:
        """Map a finished index; None where there is none, or none that can be read."""
        try:
            about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
            n, tags, width = about["n"], about["tags"], about["width"]
            whole = all((folder / name).stat().st_size == size for name, size in about["sizes"].items())
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
            whole = whole and all(checksum(folder / f"{name}.npy") == about["sums"][name] for name in SUMMED)
            arrays: dict[str, Any] = {name: read_array(folder / f"{name}.npy", *of) for name, of in shapes.items()}
            if not whole or keys is None or any(array is None for array in arrays.values()):
                return None
            return cls(folder, n, tags, about["remarks"], **arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def slice_of(self, tag: int) -> tuple[int, int]:
        """Return the positions of a tag's rows: from, to."""
        return int(self.tag_starts[tag]), int(self.tag_starts[tag + 1])

    def titles(self) -> NDArray[np.float32] | None:
        """Map the vectors of titles, by position; None where there are none yet; see `building.embed_titles`."""
        return read_array(self.folder / TITLES_FILE, np.float32, *self.vectors.shape)

    @cached_property
    def ann(self) -> Any:
        """The approximate index (faiss) of a large corpus; None for one that is searched exactly."""
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


def load_faiss() -> Any:
    """Import faiss, whose own type hints do not know all of it."""
    import faiss

    return faiss

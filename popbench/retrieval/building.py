"""From a corpus's rows to an index: read them once, embed the texts that no one has embedded yet, sort, write.

Rows stream through: what stays in memory is some tens of bytes a row and a few thousand vectors. A build that was
killed goes on where it was, as its vectors are kept shard by shard; a changed row costs its own embedding alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from popbench.errors import UsageError, one_line
from popbench.interfaces import Corpus
from popbench.progress import Progress
from popbench.records import Reference
from popbench.retrieval.index import ABOUT, ANN, ROWS, TITLES, Index, dump_row, parse_row, text_of
from popbench.retrieval.search import FLAT_LIMIT, train
from popbench.retrieval.vectors import Keys, Vectors, as_keys, key_of, keys_of, save

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256
"""Texts handed to an embedder at once."""
SHARD = 8192
"""Vectors in a shard at most,"""
SECONDS = 5.0
"""and seconds until one is written: what a kill may cost."""
CHUNK = 16_384

Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]


@dataclass
class _Rows:
    """What is kept of each row while the corpus streams by."""

    ids: list[str] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    tag: array[int] = field(default_factory=lambda: array("i"))
    popularity: array[float] = field(default_factory=lambda: array("d"))
    place: array[int] = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)
    titles: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, row: Reference, start: int, length: int) -> None:
        self.ids.append(row.id)
        self.tag.append(self.tags.setdefault(row.tag, len(self.tags)))
        self.popularity.append(row.popularity)
        self.place.extend((start, length))
        self.keys += key_of(text_of(row))
        self.titles.append(title_hash(row.title))


def build(
    corpus: Corpus, name: str, part: str, vectors: Vectors, home: Path, embed: Embed, progress: Progress
) -> Index:
    """Make the index of a part of a corpus in `home`; raises UsageError for rows that are no corpus.

    Only for the process that holds the lock of the vectors' folder.
    """
    work, done = home / ".building", home / "index"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    vectors.tidy()
    rows, size = _read(corpus, name, part, work / ROWS)
    keys = as_keys(rows.keys)
    missing = _embed_missing(
        f"embed {name}", keys, lambda wanted: _texts(work / ROWS, rows.place, wanted), vectors, embed, progress
    )
    names = sorted(rows.tags)
    tag_rank = np.argsort(np.argsort(list(rows.tags)))[np.asarray(rows.tag)]
    id_rank = np.empty(len(rows.ids), np.int64)
    id_rank[sorted(range(len(rows.ids)), key=rows.ids.__getitem__)] = np.arange(len(rows.ids))
    popularity = np.asarray(rows.popularity)
    order = np.lexsort((id_rank, -popularity, tag_rank))
    starts = np.searchsorted(tag_rank[order], np.arange(len(names) + 1)).astype(np.int64)
    matrix = _assemble(keys[order], vectors, work / "vectors.npy")
    for array_name, values in {
        "keys": keys[order],
        "places": np.asarray(rows.place, np.int64).reshape(-1, 2)[order],
        "popularity": popularity[order],
        "id_rank": id_rank[order],
        "tag_starts": starts,
        "tag_vectors": embed(names),
        "tag_means": _means(matrix, starts),
        "title_hashes": np.sort(np.asarray(rows.titles, np.uint64)),
    }.items():
        save(work / f"{array_name}.npy", values)
    if len(rows.ids) >= FLAT_LIMIT:
        train(matrix, work / ANN)
    about = {"n": len(rows.ids), "tags": names, "remarks": corpus.remarks(), "bytes": size, "embedded": missing}
    _write(work / ABOUT, json.dumps(about).encode())
    shutil.rmtree(done, ignore_errors=True)
    work.rename(done)
    vectors.tidy()
    found = Index.open(done)
    assert found is not None
    return found


def embed_titles(index: Index, vectors: Vectors, embed: Embed, progress: Progress) -> None:
    """Embed the titles of an index, for the human baseline."""
    titles = [index.row(position).title for position in range(index.n)]
    keys = keys_of(titles)
    _embed_missing("embed titles", keys, lambda wanted: (titles[row] for row in wanted), vectors, embed, progress)
    found = vectors.gather(vectors.find(keys))
    found[[not title.strip() for title in titles]] = 0  # near to nothing
    save(index.folder / TITLES, found)


def title_hash(title: str) -> int:
    """Hash a title without its case and spacing: 64 bits."""
    folded = " ".join(title.casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _read(corpus: Corpus, name: str, part: str, path: Path) -> tuple[_Rows, int]:
    """Write the rows of a part to a file; return what is kept of them in memory, and the file's size."""
    rows, size = _Rows(), 0
    with path.open("wb") as file:
        try:
            for row in corpus.rows(part):
                _check(row, name)
                line = dump_row(row)
                rows.add(row, size, len(line))
                file.write(line)
                size += len(line)
        except (UsageError, OSError):
            raise
        except Exception as error:  # a plugin's code may raise anything
            raise UsageError(f"corpus {name} cannot be read: {one_line(error)}") from error
        _sync(file)
    if not rows.ids:
        raise UsageError(f"corpus {name} has no rows in its part {part!r}: there is nothing to retrieve")
    twice = sorted(rows.ids)
    for one, other in pairwise(twice):
        if one == other:
            raise UsageError(f"corpus {name}: id {one!r} occurs more than once in its part {part!r}")
    return rows, size


def _check(row: Any, name: str) -> None:
    """Raise UsageError for what is no row of a corpus."""
    if not isinstance(row, Reference):
        raise UsageError(f"corpus {name}: a row is a {type(row).__name__}, not a Reference")
    for what in ("id", "title", "description", "caption", "tag"):
        value: Any = getattr(row, what)
        if not isinstance(value, str) or (what == "id" and not value):
            raise UsageError(f"corpus {name}: {what} of row {row.id!r} is {value!r}, expected text")
    value = row.popularity
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UsageError(f"corpus {name}: popularity of row {row.id!r} is {value!r}, expected a number from 0 on")


def _texts(path: Path, places: array[int], wanted: Sequence[int]) -> Iterator[str]:
    with path.open("rb") as file:
        for row in wanted:
            file.seek(places[2 * row])
            yield text_of(parse_row(file.read(places[2 * row + 1])))


def _embed_missing(
    name: str,
    keys: Keys,
    texts: Callable[[Sequence[int]], Iterator[str]],
    vectors: Vectors,
    embed: Embed,
    progress: Progress,
) -> int:
    """Embed each text that has no vector yet, shard by shard; return how many there were."""
    unknown = np.flatnonzero(vectors.find(keys) < 0)
    _, first = np.unique(keys[unknown], return_index=True)
    wanted = unknown[np.sort(first)].tolist()
    if not wanted:
        return 0
    progress.stage(name, len(keys), len(keys) - len(wanted))
    source = texts(wanted)
    held: list[NDArray[np.float32]] = []
    start, since = 0, time.monotonic()
    for end in range(0, len(wanted), BATCH):
        batch = [next(source) for _ in wanted[end : end + BATCH]]
        held.append(embed(batch))
        end += len(batch)
        if end - start >= SHARD or end == len(wanted) or time.monotonic() - since >= SECONDS:
            vectors.add(keys[wanted[start:end]], np.concatenate(held))
            held, start, since = [], end, time.monotonic()
        progress.advance(len(batch))
    return len(wanted)


def _assemble(keys: Keys, vectors: Vectors, path: Path) -> NDArray[np.float32]:
    """Write the vectors of keys as one array, a chunk at a time, and map it."""
    assert vectors.width is not None
    matrix: Any = np.lib.format.open_memmap(path, "w+", np.float32, (len(keys), vectors.width))
    for start in range(0, len(keys), CHUNK):
        matrix[start : start + CHUNK] = vectors.gather(vectors.find(keys[start : start + CHUNK]))
    matrix.flush()
    del matrix
    found: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return found


def _means(matrix: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean vector of each tag, of length 1: (tags, d)."""
    means = np.zeros((len(starts) - 1, matrix.shape[1]), np.float64)
    for tag, (start, end) in enumerate(pairwise(starts)):
        for at in range(start, end, CHUNK):
            means[tag] += matrix[at : min(at + CHUNK, end)].sum(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())

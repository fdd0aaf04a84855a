"""Builds the index of a corpus: reads its rows once, embeds texts that have no vector yet, sorts, writes.

Memory holds some tens of bytes per row and a few thousand vectors. Vectors are stored shard by shard, so that a killed
build goes on where it was, and a changed row costs one embedding.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.cache import key_of
from popbench.errors import UsageError, one_line
from popbench.interfaces import Corpus
from popbench.keys import digest
from popbench.progress import Progress
from popbench.records import JSON, Reference
from popbench.retrieval.embedder import Embedding, fingerprint_of
from popbench.retrieval.index import (
    ABOUT_FILE,
    ANN_FILE,
    ROWS_FILE,
    SUMMED,
    TITLES_FILE,
    Index,
    dump_row,
    parse_row,
    text_of,
)
from popbench.retrieval.search import FLAT_LIMIT, train
from popbench.retrieval.vectors import Keys, Vectors, as_keys, checksum, keys_of, save, save_chunks, save_keys, sync

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256
"""Texts that an embedder gets at once."""
SHARD_VECTORS = 8192
"""The most vectors in a shard."""
SHARD_SECONDS = 5.0
"""Seconds after which a shard is written: a kill loses at most the embeddings of this time."""
CHUNK = 16_384
"""Vectors that are copied or added up at once."""
MAX_ROW_POPULARITY = 1e15
"""The largest popularity of a video: larger floats do not hold whole numbers exactly."""


@dataclass
class _Rows:
    """The fields of all rows that stay in memory; texts go to the file of rows."""

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


@dataclass(frozen=True)
class Source:
    """A part of a corpus, the corpus's name in messages, and its fingerprint when the run was planned."""

    corpus: Corpus
    name: str
    part: str
    fingerprint: Mapping[str, JSON]


def build(source: Source, embedding: Embedding, home: Path, progress: Progress) -> Index:
    """Build the index of a part of a corpus in `home`; raises UsageError for rows that are not valid.

    The caller must hold the lock of the vectors' folder.
    """
    work, done, vectors = home / ".building", home / "index", embedding.vectors
    for unfinished in vectors.folder.glob("*/.building"):
        # A complete index may have been left by a kill before the renaming below; its vectors are worth keeping.
        if unfinished != work or Index.open(work) is None:
            shutil.rmtree(unfinished, ignore_errors=True)
    vectors.tidy()
    if not work.exists():
        work.mkdir(parents=True)
        try:
            _fill(work, source, embedding, progress)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    shutil.rmtree(done, ignore_errors=True)
    work.rename(done)
    vectors.tidy()
    index = Index.open(done)
    assert index is not None
    return index


def _fill(work: Path, source: Source, embedding: Embedding, progress: Progress) -> None:
    """Write the files of an index into an empty folder."""
    name, vectors = source.name, embedding.vectors
    rows, size = _read(source, work / ROWS_FILE)
    remarks = _remarks(source.corpus, name)
    if digest(dict(fingerprint_of(source.corpus, f"corpus {name}"))) != digest(dict(source.fingerprint)):
        raise UsageError(f"corpus {name} changed since the run was planned: run the same command again")
    keys = as_keys(rows.keys)
    _embed_missing(
        f"embed {name}", keys, lambda wanted: _texts(work / ROWS_FILE, rows.place, wanted), embedding, progress
    )
    names = sorted(rows.tags)
    name_keys = keys_of(names)
    _embed_missing("", name_keys, lambda wanted: (names[number] for number in wanted), embedding, Progress())
    ranks = {tag: rank for rank, tag in enumerate(names)}
    tag_rank = np.asarray([ranks[tag] for tag in rows.tags])[np.asarray(rows.tag)]
    id_rank = np.empty(len(rows.ids), np.int64)
    id_rank[sorted(range(len(rows.ids)), key=rows.ids.__getitem__)] = np.arange(len(rows.ids))
    popularity = np.asarray(rows.popularity)
    order = np.lexsort((id_rank, -popularity, tag_rank))
    starts = np.searchsorted(tag_rank[order], np.arange(len(names) + 1)).astype(np.int64)
    save_chunks(work / "vectors.npy", np.float32, (len(keys), _width(vectors)), _chunks(keys[order], vectors))
    matrix: NDArray[np.float32] = np.load(work / "vectors.npy", mmap_mode="r")
    for array_name, values in {
        "places": np.asarray(rows.place, np.int64).reshape(-1, 2)[order],
        "popularity": popularity[order],
        "id_rank": id_rank[order],
        "tag_starts": starts,
        "tag_vectors": vectors.gather(vectors.find(name_keys)),
        "tag_means": _means(matrix, starts),
        "title_hashes": np.asarray(rows.titles, np.uint64)[order],
    }.items():
        save(work / f"{array_name}.npy", values)
    save_keys(work / "keys.npy", keys[order])
    sums = {**{name: checksum(work / f"{name}.npy") for name in SUMMED}, ROWS_FILE: checksum(work / ROWS_FILE)}
    sizes = {ROWS_FILE: size}
    if len(rows.ids) >= FLAT_LIMIT:
        train(matrix, work / ANN_FILE)
        sizes[ANN_FILE] = (work / ANN_FILE).stat().st_size
    properties = {
        "n": len(rows.ids),
        "width": matrix.shape[1],
        "tags": names,
        "remarks": remarks,
        "sizes": sizes,
        "sums": sums,
    }
    _write(work / ABOUT_FILE, json.dumps(properties).encode())


def embed_titles(index: Index, embedding: Embedding, progress: Progress) -> None:
    """Embed the titles of an index and store their vectors in it, for the human baseline."""
    keys = keys_of(index.row(position).title for position in range(index.n))

    def texts(wanted: Sequence[int]) -> Iterator[str]:
        return (index.row(position).title for position in wanted)

    _embed_missing("embed titles", keys, texts, embedding, progress)
    save_chunks(index.folder / TITLES_FILE, np.float32, index.vectors.shape, _chunks(keys, embedding.vectors))


def title_hash(title: str) -> int:
    """Hash a title to 64 bits, ignoring case and spacing."""
    folded = " ".join(title.casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _read(source: Source, path: Path) -> tuple[_Rows, int]:
    """Write the rows of a part to a file; return what stays in memory of them, and the file's size."""
    rows, size, name, part = _Rows(), 0, source.name, source.part
    with path.open("wb") as file:
        for row in _checked(source.corpus, name, part):
            line = dump_row(row)
            rows.add(row, size, len(line))
            file.write(line)
            size += len(line)
        sync(file)
    if not rows.ids:
        raise UsageError(f"corpus {name} has no rows in its part {part!r}: there is nothing to retrieve")
    for one, other in pairwise(sorted(rows.ids)):
        if one == other:
            raise UsageError(f"corpus {name}: id {one!r} occurs more than once in its part {part!r}")
    return rows, size


def _checked(corpus: Corpus, name: str, part: str) -> Iterator[Reference]:
    """Yield the rows of a part; raises UsageError for one that is not valid."""
    number = 0
    try:
        for number, row in enumerate(corpus.rows(part), start=1):
            defect = _defect(row)
            if defect:
                raise UsageError(f"corpus {name}: row {number} of its part {part!r}: {defect}")
            yield _clean(row)
    except UsageError:
        raise
    except Exception as error:  # a plugin's code may raise anything
        after = f" (after row {number} of its part {part!r})" if number else ""
        raise UsageError(f"corpus {name} cannot be read: {one_line(error)}{after}") from error


def _defect(row: Any) -> str | None:
    """Return what is wrong with a row; None if it is valid."""
    if not isinstance(row, Reference):
        return f"is a {type(row).__name__}, not a Reference"
    whose = f" of {_brief(row.id)}"
    for what in ("id", "title", "description", "caption", "tag"):
        value: Any = getattr(row, what)
        if not isinstance(value, str) or (what == "id" and not value):
            return f"{what}{whose if what != 'id' else ''} is {_brief(value)}, expected text"
    value = row.popularity
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_ROW_POPULARITY:
        return f"popularity{whose} is {_brief(value)}, expected a number from 0 to {MAX_ROW_POPULARITY:g}"
    return None


def _clean(row: Reference) -> Reference:
    """Replace lone surrogates, which cannot be written to files or sent to models."""
    texts = {name: getattr(row, name) for name in ("id", "title", "description", "caption", "tag")}
    clean = {name: text.encode("utf-8", "replace").decode("utf-8") for name, text in texts.items()}
    return row if clean == texts else replace(row, **clean)


def _brief(value: Any) -> str:
    return one_line(repr(value), 80)


def _remarks(corpus: Corpus, name: str) -> list[str]:
    try:
        return [one_line(str(remark)) for remark in corpus.remarks()]
    except Exception as error:  # a plugin's code may raise anything
        raise UsageError(f"corpus {name}: its remarks cannot be had: {one_line(error)}") from error


def _texts(path: Path, places: array[int], wanted: Sequence[int]) -> Iterator[str]:
    with path.open("rb") as file:
        for row in wanted:
            file.seek(places[2 * row])
            yield text_of(parse_row(file.read(places[2 * row + 1])))


def _embed_missing(
    name: str,
    keys: Keys,
    texts: Callable[[Sequence[int]], Iterator[str]],
    embedding: Embedding,
    progress: Progress,
) -> None:
    """Embed each text that has no vector yet, and store the vectors shard by shard."""
    unknown = np.flatnonzero(embedding.vectors.find(keys) < 0)
    _, first = np.unique(keys[unknown], return_index=True)
    wanted = unknown[np.sort(first)].tolist()
    if not wanted:
        return
    progress.stage(name, len(keys), len(keys) - len(wanted))
    source = texts(wanted)
    pending: list[NDArray[np.float32]] = []
    stored, last_write = 0, time.monotonic()

    def store() -> None:
        nonlocal pending, stored, last_write
        shard = np.concatenate(pending)
        pending = []
        embedding.vectors.add(keys[wanted[stored : stored + len(shard)]], shard)
        stored, last_write = stored + len(shard), time.monotonic()

    try:
        for start in range(0, len(wanted), BATCH):
            batch = [next(source) for _ in wanted[start : start + BATCH]]
            pending.append(embedding.embed(batch))
            if start + len(batch) - stored >= SHARD_VECTORS or time.monotonic() - last_write >= SHARD_SECONDS:
                store()
            progress.advance(len(batch))
    finally:  # an interrupt loses nothing that was embedded
        if pending:
            store()


def _width(vectors: Vectors) -> int:
    assert vectors.width is not None
    return vectors.width


def _chunks(keys: Keys, vectors: Vectors) -> Iterator[NDArray[np.float32]]:
    """Yield the vectors of keys in chunks of at most CHUNK rows."""
    for start in range(0, len(keys), CHUNK):
        yield vectors.gather(vectors.find(keys[start : start + CHUNK]))


def _means(matrix: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the mean vector of each tag, of length 1: (tags, d)."""
    means = np.zeros((len(starts) - 1, matrix.shape[1]), np.float64)
    for tag, (start, end) in enumerate(pairwise(starts)):
        for first in range(start, end, CHUNK):
            means[tag] += matrix[first : min(first + CHUNK, end)].sum(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        sync(file)

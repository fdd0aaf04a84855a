"""Finds the nearest vectors in slices of an index: exactly in small ones, approximately in large ones, reproducibly.

Distances are squared L2, as in the paper's released code. For the candidates of faiss they are computed again and
rounded, so that ties stay ties: an embedding differs by about 1e-7 depending on the texts embedded beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.retrieval.index import Index, load_faiss
from popbench.retrieval.vectors import sync

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT_LIMIT = 200_000
"""Fewer vectors than this are searched exactly."""
DIGITS = 5
"""Decimals of distances and similarities that are compared."""
SLACK = 16
"""Neighbours that are asked for beyond those wanted, since ties may extend the last place."""
_APART = 3 * 10**-DIGITS
"""Distances of faiss, in single precision, that differ by more are not a tie."""
_TRAINING = 40
"""Vectors per cell on which the approximate index is trained."""
_PROBED = 64
"""The fewest cells that are searched."""
_RERANKED = 8
"""Candidates per wanted neighbour for which the exact distance is computed."""

Slices = Sequence[tuple[int, int]]


def nearest(index: Index, query: NDArray[np.float32], slices: Slices, count: int) -> NDArray[np.int64]:
    """Return the positions of the `count` nearest vectors in slices of an index, nearest first, ties by id.

    If the slices hold fewer, all of them are returned.
    """
    slices = [(start, end) for start, end in slices if start < end]
    size = sum(end - start for start, end in slices)
    if not size or count < 1:
        return np.zeros(0, np.int64)
    with _one_thread():
        if size >= FLAT_LIMIT and index.ann is not None:
            candidates = _approximate(index, query, slices, count)
        else:
            candidates = np.concatenate([start + flat(index.vectors[start:end], query, count) for start, end in slices])
    return ranked(index, distances(index.vectors[candidates], query), candidates)[:count]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let faiss use one thread inside the block: for one query, starting more takes longer than they save."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def ranked(index: Index, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort positions by their values, smallest first, ties by id."""
    return positions[np.lexsort((index.id_rank[positions], np.round(values, DIGITS)))]


def distances(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return squared L2 distances, (vectors,), each independent of the other vectors in the call."""
    # Not as a matrix product: its rounding depends on the shape.
    squared: NDArray[np.float64] = ((vectors.astype(np.float64) - query) ** 2).sum(axis=1)
    return squared


def cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return cosine similarities, (vectors,); 0 for a vector of length 0."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    similarities: NDArray[np.float64] = (vectors * query).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return similarities


def flat(vectors: NDArray[np.float32], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the rows of the `count` nearest vectors, and of all that tie with the last, in any order."""
    faiss = load_faiss()
    wanted = min(count + SLACK, len(vectors))
    while True:
        far, rows = faiss.knn(query[None], np.ascontiguousarray(vectors), wanted)
        if wanted == len(vectors) or far[0, -1] - far[0, count - 1] > _APART:
            nearest_rows: NDArray[np.int64] = rows[0].astype(np.int64)
            return nearest_rows
        wanted = min(4 * wanted, len(vectors))


def train(vectors: NDArray[np.float32], path: Path) -> None:
    """Write the approximate index of many vectors, (n, d): an inverted file of 4-bit vectors.

    Vectors are read a chunk at a time; those for training are spread evenly over them.
    """
    # Four bits suffice for choosing candidates: eight find no more of them, with twice the memory and more time.
    faiss = load_faiss()
    n, width = vectors.shape
    cells = 2 ** round(math.log2(2 * math.sqrt(n)))
    chosen = np.linspace(0, n - 1, min(n, _TRAINING * cells)).astype(np.int64)
    index = faiss.index_factory(width, f"IVF{cells},SQ4")
    index.cp.seed = 1234
    index.cp.niter = 8
    index.train(np.ascontiguousarray(vectors[chosen]))
    for start in range(0, n, 16_384):
        index.add(np.ascontiguousarray(vectors[start : start + 16_384]))
    with path.open("wb") as file:  # faiss's own writer does not raise OSError
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
        sync(file)


def _approximate(index: Index, query: NDArray[np.float32], slices: Slices, count: int) -> NDArray[np.int64]:
    """Return candidates for the nearest vectors."""
    # The smaller the slices' share of the index, the more cells are needed for enough candidates in them.
    faiss = load_faiss()
    share = sum(end - start for start, end in slices) / index.n
    probes = min(index.ann.nlist, math.ceil(_PROBED / share))
    options: dict[str, Any] = {"nprobe": probes}
    if share < 1:
        mask = np.zeros(index.n, bool)
        for start, end in slices:
            mask[start:end] = True
        bits = np.packbits(mask, bitorder="little")
        options["sel"] = faiss.IDSelectorBitmap(bits)
    while True:
        parameters = faiss.SearchParametersIVF(**options)
        _, rows = index.ann.search(query[None], _RERANKED * count, params=parameters)
        candidates: NDArray[np.int64] = rows[0][rows[0] >= 0].astype(np.int64)
        if len(candidates) >= count or options["nprobe"] == index.ann.nlist:
            return candidates
        options["nprobe"] = min(
            index.ann.nlist, 4 * options["nprobe"]
        )  # the nearest cells hold too few of the slices' vectors

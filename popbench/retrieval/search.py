"""The nearest vectors to one, in slices of an index: exact below a size, approximate above it, always the same.

Distances are squared L2, as in the paper's released code. They are computed anew for what faiss found and rounded, so
that a tie stays a tie: embeddings differ by about 1e-7 with what they are computed beside.
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
"""Among fewer vectors than that the search is exact."""
DIGITS = 5
"""Decimals that count of a distance or a similarity."""
SLACK = 16
_APART = 3 * 10**-DIGITS
_TRAINING = 40
"""Vectors that each cell of the approximate index is trained on."""
_PROBED = 64
"""Cells that are searched, at least."""
_RERANKED = 8
"""How many times more candidates than are wanted have their exact distance computed."""

Slices = Sequence[tuple[int, int]]


def nearest(index: Index, query: NDArray[np.float32], slices: Slices, count: int) -> NDArray[np.int64]:
    """Return the positions of the `count` nearest vectors in slices of an index, nearest first, ties by id.

    Gives what there is where the slices hold fewer.
    """
    slices = [(start, end) for start, end in slices if start < end]
    size = sum(end - start for start, end in slices)
    if not size or count < 1:
        return np.zeros(0, np.int64)
    with _one_thread():
        if size >= FLAT_LIMIT and index.ann is not None:
            found = _approximate(index, query, slices, count)
        else:
            found = np.concatenate([start + flat(index.vectors[start:end], query, count) for start, end in slices])
    return ranked(index, distances(index.vectors[found], query), found)[:count]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Search for one prompt in one thread: starting more costs more than they save, most of all on shared cores."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def ranked(index: Index, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort positions by a value, the least first, ties by id."""
    return positions[np.lexsort((index.id_rank[positions], np.round(values, DIGITS)))]


def distances(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared L2 distances, (vectors,): each the same whatever it is computed beside."""
    found: NDArray[np.float64] = ((vectors.astype(np.float64) - query) ** 2).sum(axis=1)
    return found


def cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine similarities, (vectors,); 0 for a vector of length 0."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    found: NDArray[np.float64] = (vectors * query).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return found


def flat(vectors: NDArray[np.float32], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the rows of the `count` nearest vectors, and of all that tie with the last of them, in any order."""
    faiss = load_faiss()
    wanted = min(count + SLACK, len(vectors))
    while True:
        found, rows = faiss.knn(query[None], np.ascontiguousarray(vectors), wanted)
        if wanted == len(vectors) or found[0, -1] - found[0, count - 1] > _APART:
            found_rows: NDArray[np.int64] = rows[0].astype(np.int64)
            return found_rows
        wanted = min(4 * wanted, len(vectors))


def train(vectors: NDArray[np.float32], path: Path) -> None:
    """Write the approximate index of many vectors, (n, d): an inverted file of 4-bit vectors.

    Vectors are read a chunk at a time, and those it is trained on are spread evenly over them. Four bits are enough to
    tell candidates, which is what they are for: eight find no more, in more time and twice the memory.
    """
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
    with path.open("wb") as file:  # faiss itself would not tell OSError
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
        sync(file)


def _approximate(index: Index, query: NDArray[np.float32], slices: Slices, count: int) -> NDArray[np.int64]:
    """Return candidates for the nearest; the smaller a part of the whole the slices are, the more cells are probed."""
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
        found: NDArray[np.int64] = rows[0][rows[0] >= 0].astype(np.int64)
        if len(found) >= count or options["nprobe"] == index.ann.nlist:
            return found
        options["nprobe"] = min(index.ann.nlist, 4 * options["nprobe"])  # the cells nearby hold too few

"""The bank: features and targets of the videos among which a prediction looks up similar ones.

It is one safetensors file; its features are mapped from disk. A bank also has the distances among its own videos and
titles, which show how far a new one is from everything that the model was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.errors import UsageError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

TENSORS = ("visual", "textual", "vector", "target")
_DISTANCES = ("visual_distances", "textual_distances")
_EXTRA = 8
"""Neighbours searched beyond those wanted. The search's last bits depend on the number of queries, so near ties are
decided here and not there."""
_QUANTILES = 1001
_MAX_LOG2 = 64.0
"""The largest plausible log2 popularity: larger numbers are counts, not logarithms."""
_ROWS_AT_ONCE = 1024
"""Rows that are searched or averaged at once."""

Floats = Any  # NDArray[np.float32], mapped or in memory


@dataclass(frozen=True)
class Bank:
    """`visual` (n, F, D), `textual` (n, D), `vector` (n, R) of length 1 and `target` (n,), log2 popularity."""

    ids: list[str]
    visual: Floats
    textual: Floats
    vector: Floats
    target: Floats
    distances: tuple[Floats, Floats] | None = None
    """Quantiles of the distances among videos and among titles, as `Novelty` holds them; None if not measured yet."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _index(self) -> Any:
        return _faiss_index(np.ascontiguousarray(self.vector), "IndexFlatIP")

    @cached_property
    def _place(self) -> dict[str, int]:
        return {id_: place for place, id_ in enumerate(self.ids)}

    def similar(
        self, vectors: Floats, count: int, without: Sequence[str] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return indices and cosines of the `count` most similar items, (rows, count) each, nearest first.

        `without` names, per row, an item to leave out. Raises ValueError for a bank of too few items.
        """
        if len(self) < count + (without is not None):
            raise ValueError(f"the bank holds {len(self)} videos, too few to retrieve {count} for each")
        wanted = min(count + 1 + _EXTRA, len(self))
        places = np.empty((len(vectors), count), np.int64)
        cosines = np.empty((len(vectors), count), np.float32)
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            queries = np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], np.float32)
            _, near = self._index.search(queries, wanted)
            for row, candidates in enumerate(near):
                skip = self._place.get(without[start + row], -1) if without is not None else -1
                mine = np.sort(candidates[candidates != skip])
                exact = np.round(self.vector[mine].astype(np.float64) @ queries[row].astype(np.float64), 6)
                best = mine[np.argsort(-exact, kind="stable")[:count]]
                places[start + row] = best
                cosines[start + row] = self.vector[best].astype(np.float64) @ queries[row].astype(np.float64)
        return places, cosines

    @cached_property
    def novelty(self) -> Novelty:
        """Return the distances among the bank's items. Measuring takes seconds for thousands of items."""
        centres, words = _centres(self.visual), np.ascontiguousarray(self.textual)
        return Novelty(centres, words, *(self.distances or (_own_distances(centres), _own_distances(words))))


@dataclass(frozen=True)
class Novelty:
    """Measures how far new videos and titles are from those of a bank.

    It holds their vectors, and the quantiles (0 to 1 in even steps) of the distance of each to its nearest other. The
    vector of a video is the mean of its frames' features; distances are Euclidean.
    """

    visual: Floats
    textual: Floats
    visual_distances: Floats
    textual_distances: Floats

    @cached_property
    def _indexes(self) -> tuple[Any, Any]:
        return _faiss_index(self.visual, "IndexFlatL2"), _faiss_index(self.textual, "IndexFlatL2")

    def quantiles(self, visual: Floats, textual: Floats) -> list[dict[str, float]]:
        """Return for items (rows, F, D) and (rows, D) how far each is from the nearest in the bank, from 0 to 1.

        That is the quantile of its distance among the distances of the bank's items to their nearest other: at 1.0, it
        is farther away than any of them.
        """
        rows = ((_centres(visual), self.visual_distances), (np.ascontiguousarray(textual), self.textual_distances))
        columns = []
        for index, items, (vectors, quantiles) in zip(self._indexes, (self.visual, self.textual), rows, strict=True):
            _, near = index.search(vectors, 1)
            distances = np.linalg.norm(items[near[:, 0]].astype(np.float64) - vectors, axis=1)
            places = np.searchsorted(quantiles, distances, side="left")
            columns.append(np.minimum(places / (len(quantiles) - 1), 1.0))
        return [{"video": round(float(v), 3), "title": round(float(t), 3)} for v, t in zip(*columns, strict=True)]


def _centres(visual: Floats) -> Floats:
    parts = [visual[start : start + _ROWS_AT_ONCE].mean(axis=1) for start in range(0, len(visual), _ROWS_AT_ONCE)]
    return np.ascontiguousarray(np.concatenate(parts), np.float32)


def _own_distances(items: Floats) -> Floats:
    """Return quantiles of the distance of each item to the nearest other."""
    if len(items) < 2:
        return np.zeros(_QUANTILES, np.float32)
    index = _faiss_index(items, "IndexFlatL2")
    distances = []
    for start in range(0, len(items), _ROWS_AT_ONCE):
        chunk = items[start : start + _ROWS_AT_ONCE]
        _, near = index.search(chunk, 2)
        own = np.arange(start, start + len(chunk))
        other = np.where(near[:, 0] == own, near[:, 1], near[:, 0])
        distances.append(np.linalg.norm(items[other].astype(np.float64) - chunk, axis=1))
    return np.quantile(np.concatenate(distances), np.linspace(0, 1, _QUANTILES)).astype(np.float32)


def _faiss_index(rows: Floats, kind: str) -> Any:
    import faiss

    index = getattr(faiss, kind)(rows.shape[1])
    index.add(rows)
    return index


def write_bank(bank: Bank, path: Path) -> None:
    """Write a bank to a file; raises OSError on a full disk."""
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(getattr(bank, name), np.float32) for name in TENSORS}
    tensors |= dict(zip(_DISTANCES, (bank.novelty.visual_distances, bank.novelty.textual_distances), strict=True))
    save_file(tensors, path, metadata={"ids": json.dumps(bank.ids)})


def read_bank(path: Path) -> Bank:
    """Read a bank from a safetensors or Parquet file and check it; raises UsageError in one line.

    Both hold `visual` (n, F, D), `textual` (n, D), `vector` (n, R) and `target` (n,); Parquet has a column for each and
    one of `id`, nested lists for what has several numbers, and safetensors has the ids as JSON in its metadata.
    """
    kind = path.suffix.lower()
    if kind not in (".safetensors", ".parquet"):
        reason = "pickled data can run code when it is read, so it is not" if kind in (".pkl", ".pickle", ".pt") else ""
        way = "write it as Parquet (pandas: frame.to_parquet) with the columns id, visual, textual, vector and target"
        raise UsageError(
            f"{path}: no bank that is read here (.safetensors or .parquet){reason and f': {reason}'}; {way}"
        )
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file: give one with the features of the videos to look up")
    try:
        bank = _from_safetensors(path) if kind == ".safetensors" else _from_parquet(path)
    except UsageError:
        raise
    except Exception as error:  # the libraries' errors have no common base class
        raise UsageError(f"{path}: the bank cannot be read ({one_line(error, 200)})") from error
    wrong = _problem(bank)
    if wrong is not None:
        raise UsageError(f"{path}: {wrong}")
    return bank


def _from_safetensors(path: Path) -> Bank:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        missing = [name for name in TENSORS if name not in names]
        if missing:
            raise UsageError(f"{path}: the bank lacks {', '.join(missing)}")
        ids = json.loads((file.metadata() or {}).get("ids", "null"))
    if not isinstance(ids, list):
        raise UsageError(f"{path}: the bank lacks the ids (a JSON list as `ids` in its metadata)")
    measured_before = all(name in names for name in _DISTANCES)
    tensors = _mapped(path, (*TENSORS, *(_DISTANCES if measured_before else ())))
    measured = [tensors.pop(name) for name in _DISTANCES if measured_before]
    sound = measured_before and all(
        array.shape == (_QUANTILES,) and np.isfinite(array).all() and array[0] >= 0 and (np.diff(array) >= 0).all()
        for array in measured
    )
    distances = (measured[0], measured[1]) if sound else None  # else they are measured again
    return Bank([str(id_) for id_ in ids], **tensors, distances=distances)


def _mapped(path: Path, names: Sequence[str]) -> dict[str, Floats]:
    """Map tensors of a safetensors file from disk."""
    import struct

    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
    arrays = {}
    for name in names:
        entry = header[name]
        if entry["dtype"] != "F32":
            raise UsageError(f"{path}: {name} is {entry['dtype']}, expected F32")
        start = 8 + length + entry["data_offsets"][0]
        shape = tuple(entry["shape"])
        empty = 0 in shape
        arrays[name] = np.zeros(shape, np.float32) if empty else np.memmap(path, "<f4", "r", start, shape)
    return arrays


def _from_parquet(path: Path) -> Bank:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    missing = [name for name in ("id", *TENSORS) if name not in table.column_names]
    if missing:
        raise UsageError(f"{path}: the bank lacks the column {', '.join(missing)}")
    columns = {name: _numbers(path, name, table.column(name)) for name in TENSORS}
    columns["target"] = columns["target"].reshape(-1) if columns["target"].size == len(table) else columns["target"]
    ids = [str(id_) for id_ in table.column("id").to_pylist()]
    return Bank(ids, columns["visual"], columns["textual"], columns["vector"], columns["target"])


def _numbers(path: Path, name: str, column: Any) -> Floats:
    """Return a column of numbers, or of lists of equal lengths to any depth, as an array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values, shape = column.combine_chunks(), [len(column)]
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise UsageError(f"{path}: column {name} does not hold equally many numbers in every row")
        shape.append(lengths[0])
        values = values.flatten()
    numeric = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    if not numeric or values.null_count:
        raise UsageError(f"{path}: column {name} holds something else than numbers")
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float32).reshape(shape)


def _problem(bank: Bank) -> str | None:
    """Return in a few words what is wrong with a bank; None if it is sound."""
    n = len(bank)
    if not n:
        return "the bank holds no videos"
    if len(set(bank.ids)) < n:
        return "the bank holds an id twice"
    for name, dimensions in zip(TENSORS, (3, 2, 2, 1), strict=True):
        array = getattr(bank, name)
        if array.ndim != dimensions or len(array) != n or 0 in array.shape:
            wanted = ("(n, frames, D)", "(n, D)", "(n, R)", "(n,)")[TENSORS.index(name)]
            return f"{name} has shape {array.shape}, expected {wanted} with n = {n:,} ids"
        if not all(np.isfinite(array[start : start + _ROWS_AT_ONCE]).all() for start in range(0, n, _ROWS_AT_ONCE)):
            return f"{name} holds NaN or infinite values"
    if float(np.abs(bank.target).max()) > _MAX_LOG2:
        return f"target reaches {float(np.abs(bank.target).max()):,.0f}: expected log2 popularity, not counts"
    if bank.visual.shape[2] != bank.textual.shape[1]:
        return f"visual features have {bank.visual.shape[2]} numbers and textual ones {bank.textual.shape[1]}"
    lengths = np.linalg.norm(bank.vector, axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        return f"vectors have lengths from {lengths.min():.3g} to {lengths.max():.3g}, expected 1: normalize them"
    return None

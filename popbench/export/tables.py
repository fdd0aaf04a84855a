"""Exports as tables, one row for each sample and predictor: JSONL and Parquet. Rows are written as they are read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.export.columns import COLUMNS, Exported, Row
from popbench.export.staging import staged

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 5_000
"""Rows that are in memory at a time, and in a group of a Parquet file."""


def write_table(run: Path, form: str, out: Path, *, force: bool = False) -> tuple[int, bool]:
    """Write a run as `jsonl` or `parquet`; return the number of rows, and whether they are a demonstration's.

    Raises UsageError for what is no finished run, for damaged samples, and where `out` has other content, unless
    `force`; RunError where the disk refuses. Samples in error are rows too, with status `error` and no popularity.
    """
    exported = Exported(run)
    rows = (row for _, by_predictor in exported.samples() for row in by_predictor.values())
    with staged(force=force) as files:
        partial = files.add(out)
        count = (_jsonl if form == "jsonl" else _parquet)(rows, partial)
    return count, exported.run_json["demo"]


def _jsonl(rows: Iterable[Row], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
            count += 1
    return count


def _parquet(rows: Iterable[Row], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[Any, pa.DataType] = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        list[str]: pa.list_(pa.string()),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while group := list(islice(rest, ROW_GROUP)):
        yield group

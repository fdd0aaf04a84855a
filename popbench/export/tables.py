"""Exports tables as JSONL or Parquet, with a row for each sample and predictor; rows are not held in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.export.columns import Columns, Exported, ExportRow
from popbench.export.staged_files import staged

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 5_000
"""Rows that are in memory at a time, and in a group of a Parquet file."""


def write_table(run: Path, form: str, out: Path, *, force: bool = False) -> tuple[int, bool]:
    """Write a run as `jsonl` or `parquet`; return the number of rows, and whether they are a demonstration's.

    Samples in error are rows too, with status `error` and no popularity. Raises UsageError if the run is not finished,
    if samples are damaged and, unless `force`, if `out` has other content; RunError if the disk refuses.
    """
    exported = Exported(run)
    rows = (row for _, by_predictor in exported.samples() for row in by_predictor.values())
    with staged(force=force) as files:
        partial = files.add(out)
        count = _jsonl(rows, partial) if form == "jsonl" else write_parquet(rows, partial, exported.columns)
    return count, exported.run_json["demo"]


def _jsonl(rows: Iterable[ExportRow], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
            count += 1
    return count


def write_parquet(rows: Iterable[ExportRow], path: Path, columns: Columns) -> int:
    """Write rows with these columns into a Parquet file, a group at a time; return how many there were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[Any, pa.DataType] = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        list[str]: pa.list_(pa.string()),
        dict: pa.string(),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(map(_as_text, rows)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _as_text(row: ExportRow) -> ExportRow:
    """Return a row with its further fields as JSON text: Parquet has one type for all values of a column."""
    return {**row, "extra": json.dumps(row["extra"], ensure_ascii=False)} if "extra" in row else row


def _groups(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    rest = iter(rows)
    while group := list(islice(rest, ROW_GROUP)):
        yield group

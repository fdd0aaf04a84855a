"""Reads the first rows of the table of samples, for trackers that show one."""

from __future__ import annotations

import json
from pathlib import Path

from popbench import JSON

_LEFT_OUT = ("completion", "reasoning", "references")
"""Columns of long texts, which the file of the table has."""


def first_rows(samples: Path, most: int) -> list[dict[str, JSON]]:
    """Return at most this many rows of a Parquet file; lists are JSON texts, and columns of nothing are left out."""
    import pyarrow.parquet as pq

    rows: list[dict[str, JSON]] = []
    with pq.ParquetFile(samples) as file:
        for batch in file.iter_batches(batch_size=most):
            rows += batch.to_pylist()
            if len(rows) >= most:
                break
    rows = rows[:most]
    kept = [
        name for name in (rows[0] if rows else ()) if name not in _LEFT_OUT and any(_filled(row[name]) for row in rows)
    ]
    return [{name: _plain(row[name]) for name in kept} for row in rows]


def _filled(value: JSON) -> bool:
    return value is not None and value != []


def _plain(value: JSON) -> JSON:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

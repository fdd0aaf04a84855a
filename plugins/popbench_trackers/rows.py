"""Makes the rows of tables, for trackers that show them: the board, and the first samples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from popbench import JSON, Metric

_LEFT_OUT = (
    "completion", "reasoning", "references",
    "predictor", "task_hash", "task_group", "task_prompts", "system_fingerprint", "mode_name", "mode_fingerprint",
    "llm", "mode", "generator", "seed", "demo", "video", "video_sha256",
)  # fmt: skip
"""Columns that only the file of the table has: long texts, digests, what all rows share, parts of the system's name."""


def board_rows(metrics: Iterable[Metric]) -> list[dict[str, str]]:
    """Return a row for each system of each table, with numbers and their intervals as texts: `0.58 [0.17, 0.92]`."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for metric in metrics:
        if len(metric.of) == 3:
            row = rows.setdefault(metric.of, dict(zip(("task", "predictor", "system"), metric.of, strict=True)))
            row[metric.statistic] = _text(metric)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return [{name: row.get(name, "") for name in names} for row in rows.values()]


def _text(metric: Metric) -> str:
    interval = "" if metric.low is None or metric.high is None else f" [{metric.low:.4g}, {metric.high:.4g}]"
    return f"{metric.value:.4g}{interval}"


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

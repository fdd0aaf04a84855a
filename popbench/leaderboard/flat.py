"""Turns entries of results.json into columns: for tables on the hub, and for the metrics of trackers."""

from __future__ import annotations

from collections.abc import Mapping

from popbench.records import JSON


def flat(row: Mapping[str, JSON], prefix: str = "") -> dict[str, JSON]:
    """Return an entry of results.json as columns, such as `median`, `median_low` and `median_high` for a median."""
    columns: dict[str, JSON] = {}
    for key, value in row.items():
        name = prefix if key == "value" else f"{prefix}_{key}" if prefix else key
        if isinstance(value, dict):
            columns |= flat(value, name) if key != "by_category" else {}
        elif isinstance(value, list):
            start = name.removesuffix("_interval")
            columns |= {f"{start}_low": value[0], f"{start}_high": value[1]}
        else:
            columns[name] = value
    return columns

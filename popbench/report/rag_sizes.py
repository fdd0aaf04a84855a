"""What the number of references does: a system's median and its win rate over basic, by the k of its mode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from popbench.leaderboard.pairs import BASIC
from popbench.records import parts_of
from popbench.report.numbers import popularity, win_rate
from popbench.retrieval.options import RetrievalOptions
from popbench.runs.run_json import ModeEntry
from popbench.scores.remarks import wanted_references


def sizes(
    results: Mapping[str, Any], modes: Mapping[str, ModeEntry], predictor: str, task: str
) -> list[dict[str, Any]]:
    """Return a row for each LLM, generator and number of references, smallest first; basic shows none.

    Modes that differ in more than k are series of their own. Empty unless some series has two sizes, basic left out.
    """
    series_of = {label: _series(mode) for label, mode in modes.items()}
    contrasts = {
        row["a"]: row for row in results["enhancement"] if (row["predictor"], row["task"]) == (predictor, task)
    }
    rows = []
    for row in results["systems"]:
        parts = parts_of(row["system"])
        if (row["predictor"], row["task"]) != (predictor, task) or parts is None or parts[1] not in modes:
            continue
        llm, label, generator = parts
        k, series = series_of[label]
        if k or modes[label]["name"] == BASIC:
            rows.append((llm, generator, series, k, label, row, contrasts.get(row["system"])))
    counts: dict[tuple[str, str, str], set[int]] = {}
    for llm, generator, series, k, *_ in rows:
        if k:
            counts.setdefault((llm, generator, series), set()).add(k)
    if not any(len(ks) > 1 for ks in counts.values()):
        return []
    return list(_shown(rows))


def _shown(rows: list[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for llm, generator, series, k, label, row, contrast in sorted(rows, key=lambda row: (*row[:2], row[3], row[2])):
        yield {
            "llm": llm,
            "generator": generator,
            "mode": label,
            "series": f"{llm} · {generator}" + (f" · {series}" if series else ""),
            "k": k,
            "n": row["n"],
            "median": popularity(row["median"]),
            "rate": win_rate(contrast) if contrast else None,
            "numbers": (row["median"], contrast["win_rate"] if contrast else None),
            "verdict": contrast["verdict"] if contrast else None,
        }


def _series(mode: ModeEntry) -> tuple[int, str]:
    """Return how many references a mode shows, and its name with what sets it apart from others besides."""
    options = {key: value for key, value in mode["options"].items() if key != "k"}
    usual = {key: field.default for key, field in RetrievalOptions.model_fields.items()}
    other = {key: value for key, value in options.items() if usual.get(key, ...) != value}
    name = mode["name"] if mode["name"] not in ("pe", BASIC) else ""
    different = ", ".join(f"{key}={json.dumps(value)}" for key, value in sorted(other.items()))
    return wanted_references(mode["options"]), " ".join(part for part in (name, different) if part)

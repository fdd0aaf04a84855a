"""Reads and checks the files that a page is made of: a finished run's run.json, results.json and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.records import JSON, MAX_POPULARITY, Sample
from popbench.runs.run_json import RunJson, read_finished
from popbench.runs.samples import read_jsonl


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its directory, run.json and results.json."""

    path: Path
    run_json: RunJson
    results: Mapping[str, Any]

    @property
    def samples(self) -> list[Sample]:
        """All samples; the file is read each time."""
        return list(read_jsonl(self.path / "samples.jsonl"))


def read_run(path: Path) -> FinishedRun:
    """Read a run directory; raises UsageError if it is missing, damaged, not finished, or has no scores."""
    run_json = read_finished(path)
    if not (path / "results.json").exists():
        raise UsageError(f"{path}: results.json is missing (no prompt has all its scores?): give its command again")
    try:
        results = read_json(path / "results.json")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: results.json cannot be read ({damage(error)})") from error
    if not isinstance(results, dict):
        raise UsageError(f"{path}: results.json is no JSON object")
    check_results(results, str(path / "results.json"))
    return FinishedRun(path, run_json, results)


_LISTS = ("tasks", "predictors", "systems", "pairs", "enhancement", "minimum_detectable_win_rate")
_KINDS = {str: "text", int: "whole number", dict: "object"}
_ROW = {"system": str, "task": str, "predictor": str, "n": int, "median": dict, "by_category": dict}


def check_results(results: Mapping[str, Any], source: str) -> None:
    """Raise UsageError if results have another shape than results.json; `check_agreement` checks the numbers."""
    if results.get("schema") != 1:
        raise UsageError(f"{source}: schema is {results.get('schema')!r}, expected 1")
    for name in _LISTS:
        if not isinstance(results.get(name), list):
            raise UsageError(f"{source}: {name} is no list")
        if not all(isinstance(row, dict) for row in results[name]):
            raise UsageError(f"{source}: {name} holds what is no JSON object")
    if not results["systems"]:
        raise UsageError(f"{source}: it has no systems")
    real = [item.get("name") for item in results["predictors"] if item.get("scale") == "real"]
    for row in results["systems"]:
        for field, kind in _ROW.items():
            if not isinstance(row.get(field), kind):
                raise UsageError(f"{source}: a system's {field} is missing or no {_KINDS[kind]}")
        for end in ("value", "low", "high"):
            number = row["median"].get(end)
            if number is not None and not _is_popularity(number, real=row["predictor"] in real):
                raise UsageError(f"{source}: a system's median is no number that a popularity can be")


def _is_popularity(value: JSON, *, real: bool) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (real or value >= 0) and abs(value) <= MAX_POPULARITY

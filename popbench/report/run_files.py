"""What a page is made of: a finished run's run.json, results.json and samples, or one line that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.records import JSON, MAX_POPULARITY, Sample
from popbench.runs.samples import read_jsonl


@dataclass(frozen=True)
class FinishedRun:
    """A run that is done: where it is, run.json and results.json."""

    path: Path
    about: Mapping[str, JSON]
    results: Mapping[str, Any]

    @property
    def samples(self) -> list[Sample]:
        """All samples, read now."""
        return list(read_jsonl(self.path / "samples.jsonl"))


def read_run(path: Path) -> FinishedRun:
    """Read a run directory; raises UsageError for one that is not there, not done, without scores, or damaged."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder: give the directory of a run")
    if not (path / "run.json").exists():
        raise UsageError(f"{path}: not a run directory (run.json is missing)")
    about = _json(path / "run.json")
    try:
        finished, stopped = about["finished"], about["config"].get("stop_after")
        for part in (about["modes"].values(), about["units"].items(), about["notes"].items()):
            list(part)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: run.json cannot be read ({damage(error)})") from error
    if not finished:
        raise UsageError(f"{path}: the run is not done, or was stopped: give its command again first")
    if stopped:
        raise UsageError(f"{path}: the run stopped after {stopped}: it has no scores to report")
    if not (path / "results.json").exists():
        raise UsageError(f"{path}: results.json is missing (no prompt has all its scores?): give its command again")
    results = _json(path / "results.json")
    check_results(results, str(path / "results.json"))
    return FinishedRun(path, about, results)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path.parent}: {path.name} cannot be read ({damage(error)})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path.parent}: {path.name} is no JSON object")
    return value


_LISTS = ("tasks", "predictors", "systems", "pairs", "enhancement", "minimum_detectable_win_rate")
_KINDS = {str: "text", int: "whole number", dict: "object"}
_ROW = {"system": str, "task": str, "predictor": str, "n": int, "median": dict, "by_category": dict}


def check_results(results: Mapping[str, Any], source: str) -> None:
    """Raise UsageError for what is no results.json; what its numbers are worth is not judged here."""
    if results.get("schema") != 1:
        raise UsageError(f"{source}: schema is {results.get('schema')!r}, expected 1")
    for name in _LISTS:
        if not isinstance(results.get(name), list):
            raise UsageError(f"{source}: {name} is no list")
        if not all(isinstance(row, dict) for row in results[name]):
            raise UsageError(f"{source}: {name} holds what is no JSON object")
    if not results["systems"]:
        raise UsageError(f"{source}: it has no systems")
    for row in results["systems"]:
        for field, kind in _ROW.items():
            if not isinstance(row.get(field), kind):
                raise UsageError(f"{source}: a system's {field} is missing or no {_KINDS[kind]}")
        for end in ("value", "low", "high"):
            number = row["median"].get(end)
            if number is not None and not _is_popularity(number):
                raise UsageError(f"{source}: a system's median is no number that a popularity can be")


def _is_popularity(value: JSON) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= MAX_POPULARITY and math.isfinite(value)

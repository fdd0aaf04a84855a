"""Reading back the Every Eval Ever files that `popbench export` wrote: aggregates, and the scores in their instances.

A board is made of the instances alone: their `metadata` says of each score what a run's run.json would. An aggregate
vouches for its instances by their number and checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_bytes, read_json, read_lines
from popbench.records import JSON

SCHEMA_VERSION = "0.3.0"
INSTANCES = "_samples.jsonl"
"""How the file of an aggregate's instances ends; it starts as the aggregate's does and lies beside it."""
_DEPTH = 4
"""Folders that files lie below at most: the format's layout is data/BENCHMARK/DEVELOPER/MODEL."""


def is_folder(path: Path) -> bool:
    """Whether a folder is one of Every Eval Ever files: no run, and one of them somewhere below."""
    if (path / "run.json").exists() or (path / "samples.jsonl").exists():
        return False
    return any(True for _ in _below(path, f"*{INSTANCES}")) or any(map(_is_aggregate, _below(path, "*.json")))


def is_instances(path: Path) -> bool:
    """Whether a JSONL file holds instances, by its first line."""
    try:
        first = json.loads(next(read_lines(path), ""))
    except (OSError, ValueError, RecursionError):
        return False  # whoever reads it tells
    return isinstance(first, dict) and {"schema_version", "evaluation_id", "evaluation"} <= set(first)


def records(path: Path) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Yield rows of bare scores, each with where it stands, from instances, an aggregate, or a folder of both.

    Raises UsageError that names the file, and the line, of what is no score of popbench, of instances that are not
    what their aggregate says, and of aggregates without instances.
    """
    if path.is_dir():
        aggregates = [file for file in sorted(_below(path, "*.json")) if _is_aggregate(file)]
        instances = sorted({*map(_instances_of, aggregates), *_below(path, f"*{INSTANCES}")})
    elif path.suffix == ".json":
        aggregates, instances = [path], [_instances_of(path)]
    else:
        aggregates, instances = [], [path]
    for aggregate in aggregates:
        _check(aggregate)
    for file in instances:
        for number, line in lines(file):
            where = f"{file}: line {number}"
            yield where, _record(line, where)


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a JSONL file with the numbers of their lines; raises UsageError that names one."""
    try:
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is no JSON ({damage(error)})") from error
            if not isinstance(record, dict):
                raise UsageError(f"{path}: line {number} is no JSON object")
            yield number, record
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error


def _record(line: Mapping[str, JSON], where: str) -> dict[str, JSON]:
    version = line.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(f"{where} has schema_version {version!r}, expected {SCHEMA_VERSION!r}")
    about, evaluation = line.get("metadata"), line.get("evaluation")
    if not isinstance(about, dict) or "system" not in about:
        raise UsageError(f"{where} is no score of popbench (its metadata name no system)")
    if not isinstance(evaluation, dict) or "score" not in evaluation:
        raise UsageError(f"{where} has no score")
    return {**about, "prompt_id": line.get("sample_id"), "popularity": evaluation["score"]}


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    for depth in range(_DEPTH + 1):
        yield from folder.glob("*/" * depth + pattern)


def _is_aggregate(path: Path) -> bool:
    try:
        found = read_json(path)
    except (OSError, ValueError, RecursionError):
        return True  # it may be one that is damaged: the check tells
    return isinstance(found, dict) and "evaluation_results" in found


def _instances_of(aggregate: Path) -> Path:
    return aggregate.with_name(aggregate.stem + INSTANCES)


def _check(aggregate: Path) -> None:
    """Raise UsageError where an aggregate's instances are not there, or not those it was written with."""
    instances = _instances_of(aggregate)
    try:
        told = read_json(aggregate)["detailed_evaluation_results"]
        wanted = told["checksum"], told["total_rows"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise UsageError(f"{aggregate}: is no aggregate of popbench's ({damage(error)})") from error
    try:
        content = read_bytes(instances)
    except OSError as error:
        raise UsageError(f"{aggregate}: its instances cannot be read ({instances.name}: {one_line(error)})") from error
    if (hashlib.sha256(content).hexdigest(), content.count(b"\n")) != wanted:
        raise UsageError(f"{instances}: was changed after {aggregate.name} was written (other rows or checksum)")

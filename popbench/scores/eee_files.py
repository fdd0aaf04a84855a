"""Reads the Every Eval Ever files that `popbench export` writes: aggregates, and the scores in their instances.

A board is made of the instances alone, whose `metadata` hold what run.json says of their scores. An aggregate holds the
number and the checksum of its instances, which are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_bytes, read_json, read_lines
from popbench.records import JSON
from popbench.tables import json_lines

SCHEMA_VERSION = "0.3.0"
INSTANCES = "_samples.jsonl"
"""The end of the name of a file of instances, which lies beside its aggregate and starts with the same words."""
_DEPTH = 4
"""Folders above a file at most: the format's layout is data/BENCHMARK/DEVELOPER/MODEL."""


def is_folder(path: Path) -> bool:
    """Return whether a folder is no run and has Every Eval Ever files somewhere below."""
    if (path / "run.json").exists() or (path / "samples.jsonl").exists():
        return False
    return any(True for _ in _below(path, f"*{INSTANCES}")) or any(map(_is_aggregate, _below(path, "*.json")))


def is_instances(path: Path) -> bool:
    """Return whether a JSONL file holds instances, by its first line."""
    try:
        first = json.loads(next(read_lines(path), ""))
    except (OSError, ValueError, RecursionError):
        return False  # the reader of score files says what is wrong
    return isinstance(first, dict) and {"schema_version", "evaluation_id", "evaluation"} <= set(first)


def records(path: Path) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Yield (place, row of a score) from instances, an aggregate, or a folder of both.

    Raises UsageError that names the file, and the line, if a line is no score of popbench, if an aggregate has no
    instances, or if they are not those it was written with.
    """
    if path.is_dir():
        aggregates = [file for file in sorted(_below(path, "*.json")) if _is_aggregate(file)]
        instances = sorted({*map(_instances_of, aggregates), *_below(path, f"*{INSTANCES}")})
    elif path.suffix.lower() == ".json":
        aggregates, instances = [path], [_instances_of(path)]
    else:
        aggregates, instances = [], [path]
    for aggregate in aggregates:
        _check(aggregate)
    for file in instances:
        try:
            for number, line in json_lines(file):
                where = f"{file}: line {number}"
                yield where, _record(line, where)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read ({damage(error)})") from error


def _record(line: Mapping[str, JSON], where: str) -> dict[str, JSON]:
    version = line.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(f"{where} has schema_version {version!r}, expected {SCHEMA_VERSION!r}")
    metadata, evaluation = line.get("metadata"), line.get("evaluation")
    if not isinstance(metadata, dict) or "system" not in metadata:
        raise UsageError(f"{where} is no score of popbench (its metadata name no system)")
    if not isinstance(evaluation, dict) or "score" not in evaluation:
        raise UsageError(f"{where} has no score")
    return {**metadata, "prompt_id": line.get("sample_id"), "popularity": evaluation["score"]}


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    for depth in range(_DEPTH + 1):
        yield from folder.glob("*/" * depth + pattern)


def _is_aggregate(path: Path) -> bool:
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return True  # it may be a damaged one, which is refused later
    return isinstance(content, dict) and "evaluation_results" in content


def _instances_of(aggregate: Path) -> Path:
    return aggregate.with_name(aggregate.stem + INSTANCES)


def _check(aggregate: Path) -> None:
    """Raise UsageError if an aggregate's instances are missing, or are not those it was written with."""
    instances = _instances_of(aggregate)
    try:
        recorded = read_json(aggregate)["detailed_evaluation_results"]
        expected = recorded["checksum"], recorded["total_rows"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        made = any((aggregate.parent / name).exists() for name in ("run.json", "board.json"))
        hint = ": name a run or a board by its directory" if made else ""
        raise UsageError(f"{aggregate}: is no aggregate of popbench's ({damage(error)}){hint}") from error
    try:
        content = read_bytes(instances)
    except OSError as error:
        raise UsageError(f"{aggregate}: its instances cannot be read ({instances.name}: {one_line(error)})") from error
    if (hashlib.sha256(content).hexdigest(), content.count(b"\n")) != expected:
        raise UsageError(f"{instances}: was changed after {aggregate.name} was written (other rows or checksum)")

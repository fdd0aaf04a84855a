"""Turns samples into rows of tables: a flat row for each predictor, with all that a board needs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import GenericAlias
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_lines
from popbench.records import JSON, Sample
from popbench.runs.run_json import read_finished, scale_of
from popbench.runs.samples import read_jsonl
from popbench.scores.rows import NameCodes
from popbench.scores.run_scores import row_of
from popbench.scores.scores import check_row

Columns = dict[str, type | GenericAlias]
"""Types by name."""

COLUMNS: Columns = {
    # What boards are made of.
    "system": str, "task": str, "prompt_id": str, "repeat": int, "category": str, "status": str, "popularity": float,
    # What makes scores comparable. `predictor` is the predictor's fingerprint.
    "predictor": str, "predictor_name": str, "unit": str, "demo": bool,
    "task_hash": str, "task_group": str, "task_prompts": int,
    "system_fingerprint": str, "mode_name": str, "mode_fingerprint": str, "seed": int,
    # The sample.
    "llm": str, "mode": str, "generator": str,
    "prompt": str, "title": str, "video_prompt": str, "completion": str, "reasoning": str, "references": list[str],
    "compliance": bool, "originality": float, "attempts": int, "notes": list[str], "error": str,
    "video": str, "video_sha256": str,
    # What it took.
    "seconds_llm": float, "seconds_generate": float, "seconds_predict": float,
    "peak_memory_mb_llm": float, "peak_memory_mb_generate": float, "peak_memory_mb_predict": float,
    "input_tokens": int, "output_tokens": int, "cost": float,
    # The human baseline's video.
    "match_id": str, "match_similarity": float, "match_popularity": float,
}  # fmt: skip
"""Name and type of each column; every value may be null, except those that a score needs."""
EXTRA: dict[str, type | GenericAlias] = {"extra": dict}
"""The column of further fields, which only runs of tasks that name some have: an object, as JSON text in Parquet."""

_MOST_PARTS = 2_000
PART = "part_"
"""Before the name of a part, in the name of its column."""
COSTS: Columns = {"cost_generate": float, "cost_predict": float}
"""Columns of runs in which the cost of clips or scores is told of."""
_COSTS_TOLD = '"costs":{'
"""This is in no text of a line of samples.jsonl, where quotes are escaped."""

_IDS = ("system", "task", "prompt_id", "category")
_STAGES = ("llm", "generate", "predict")
_LARGEST_INTEGER = 2**63 - 1

ExportRow = dict[str, JSON]


class Exported:
    """The run.json and the samples of a finished run, for an export.

    `columns` are those of `COLUMNS`, and what only some runs have: `scale`, costs, and parts of scores.
    """

    def __init__(self, path: Path) -> None:
        """Read run.json; raises UsageError if the run is not finished, or has no scores."""
        self.path = path
        self.run_json = read_finished(path)
        self.columns = dict(COLUMNS)
        if self.run_json.get("scales"):
            self.columns["scale"] = str
        tasks = self.run_json["tasks"].values()
        if any(task.get("extra") or (task.get("draft") or {}).get("fields") for task in tasks):
            self.columns |= EXTRA
        self.columns |= _later_columns(path / "samples.jsonl")
        self._samples_seen: set[int] = set()
        self._systems: NameCodes[str] = NameCodes()
        self._prompts: NameCodes[tuple[str, str]] = NameCodes()

    def samples(self) -> Iterator[tuple[Sample, dict[str, ExportRow]]]:
        """Yield each sample with its rows by predictor's name.

        Raises UsageError that names a sample if it is there twice, does not belong to this run, or has a wrong value.
        """
        self._samples_seen.clear()
        for sample in read_jsonl(self.path / "samples.jsonl"):
            where = f"system {sample.system!r}, task {sample.task!r}, prompt {sample.prompt_id!r}"
            try:
                self._check(sample, where)
                yield sample, {name: self._row(sample, name) for name in self.run_json["predictors"]}
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
                raise UsageError(f"{self.path}: {where}: {damage(error)}") from error
        if not self._samples_seen:
            raise UsageError(f"{self.path}: samples.jsonl is empty")

    def _check(self, sample: Sample, where: str) -> None:
        if sample.task not in self.run_json["tasks"]:
            raise UsageError(f"{self.path}: {where}: run.json has no such task")
        if sample.system not in self.run_json["systems"]:
            raise UsageError(f"{self.path}: {where}: run.json has no such system")
        prompt = self._prompts.code((sample.task, sample.prompt_id))
        code = (
            (sample.repeat << 64) + (prompt << 32) + self._systems.code(sample.system)
        )  # small: there may be millions
        if code in self._samples_seen:
            raise UsageError(f"{self.path}: {where}, repeat {sample.repeat}: two samples")
        self._samples_seen.add(code)
        for predictor in self.run_json["predictors"]:
            scale = scale_of(self.run_json, predictor)
            check_row(row_of(sample, predictor, scale), str(self.path), scale)

    def _row(self, sample: Sample, predictor: str) -> ExportRow:
        run_json = self.run_json
        task, mode = run_json["tasks"][sample.task], run_json["modes"].get(sample.mode or "")
        scale = scale_of(run_json, predictor)
        score = row_of(sample, predictor, scale)
        usage, match = sample.usage or {}, sample.match or {}
        row: ExportRow = {
            **{name: getattr(sample, name, None) for name in self.columns},
            "status": score.status,
            "popularity": score.popularity,
            "predictor": run_json["predictors"][predictor],
            "predictor_name": predictor,
            "unit": run_json["units"][predictor],
            "scale": scale,
            "demo": run_json["demo"],
            "task_hash": task["hash"],
            "task_group": task["group"],
            "task_prompts": task["prompts"],
            "system_fingerprint": run_json["systems"][sample.system].get(sample.task),
            "mode_name": mode["name"] if mode else None,
            "mode_fingerprint": mode["fingerprints"][sample.task] if mode else None,
            "seed": run_json["config"]["seed"],
            "references": list(sample.references),
            "notes": list(sample.notes),
            **{f"seconds_{stage}": sample.seconds.get(stage) for stage in _STAGES},
            **{f"peak_memory_mb_{stage}": sample.peak_memory_mb.get(stage) for stage in _STAGES},
            "input_tokens": usage.get("input"),
            "output_tokens": usage.get("output"),
            **{f"cost_{stage}": sample.costs.get(stage) for stage in ("generate", "predict")},
            **{f"match_{name}": match.get(name) for name in ("id", "similarity", "popularity")},
        }
        parts = (sample.parts or {}).get(predictor) or {}
        row |= {name: parts.get(name.removeprefix(PART)) for name in self.columns if name.startswith(PART)}
        return {name: _value(name, row[name], kind) for name, kind in self.columns.items()}


def _later_columns(samples: Path) -> Columns:
    """Return the columns of a samples.jsonl that only some runs have: costs of clips and scores, and parts, sorted.

    Lines without parts are not parsed, since an export reads a file of gigabytes a second time for this.
    """
    names: set[str] = set()
    costs = False
    with suppress(OSError, ValueError):  # what is wrong with the file is told by its reader
        for line in read_lines(samples):
            costs = costs or _COSTS_TOLD in line
            if '"parts":{' in line:
                with suppress(ValueError, AttributeError, LookupError, TypeError, RecursionError):
                    for parts in json.loads(line)["parts"].values():
                        names.update(map(whole, parts))
    if len(names) > _MOST_PARTS:
        raise UsageError(f"{samples}: its scores have parts of {len(names):,} names, of {_MOST_PARTS:,} at most")
    return (COSTS if costs else {}) | dict.fromkeys((f"{PART}{name}" for name in sorted(names)), float)


def _value(name: str, value: Any, kind: type | GenericAlias) -> JSON:
    """Return a value of its column's type; raises TypeError or ValueError if it is of another one, or not finite.

    Half of a surrogate pair becomes U+FFFD, since UTF-8 cannot encode it.
    """
    if value is None:
        return None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _LARGEST_INTEGER:
            raise ValueError(f"{name} is too large a number")
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        text = whole(value)
        if text != value and name in _IDS:
            raise ValueError(f"{name} is no valid text")
        return text
    if kind is dict and isinstance(value, dict):
        json.dumps(value, allow_nan=False).encode()  # raises ValueError for what is no JSON
        return value
    if isinstance(kind, GenericAlias) and all(isinstance(item, str) for item in value):
        return [whole(item) for item in value]
    raise TypeError(f"{name} is {value!r:.50}, which it cannot be")


def whole(text: str) -> str:
    """Return a text with U+FFFD in place of halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""What a sample becomes in a table: one flat row for each predictor, with all that a board needs to know of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any

from popbench.errors import UsageError, damage
from popbench.records import JSON, Sample
from popbench.runs.run_json import read_finished
from popbench.runs.samples import read_jsonl
from popbench.scores.rows import Names
from popbench.scores.run_scores import row_of
from popbench.scores.scores import check_row

COLUMNS: dict[str, type | GenericAlias] = {
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
"""Name and type of each column; every value may be null but those that a score needs."""

_IDS = ("system", "task", "prompt_id", "category")
_STAGES = ("llm", "generate", "predict")
_LARGEST = 2**63 - 1

Row = dict[str, JSON]


class Exported:
    """A finished run that is exported: what its run.json says, and its samples."""

    def __init__(self, path: Path) -> None:
        """Read run.json; raises UsageError for what is no finished run with scores."""
        self.path = path
        self.run_json = read_finished(path)
        self._places: set[int] = set()
        self._systems: Names[str] = Names()
        self._prompts: Names[tuple[str, str]] = Names()

    def samples(self) -> Iterator[tuple[Sample, dict[str, Row]]]:
        """Read the samples one by one, each with its row under every predictor, by the predictor's name.

        Raises UsageError that names the sample that is damaged: one that is there twice, that does not belong to this
        run, or that has a value which is no such value.
        """
        self._places.clear()
        for sample in read_jsonl(self.path / "samples.jsonl"):
            where = f"system {sample.system!r}, task {sample.task!r}, prompt {sample.prompt_id!r}"
            try:
                self._check(sample, where)
                yield sample, {name: self._row(sample, name) for name in self.run_json["predictors"]}
            except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
                raise UsageError(f"{self.path}: {where}: {damage(error)}") from error
        if not self._places:
            raise UsageError(f"{self.path}: samples.jsonl is empty")

    def _check(self, sample: Sample, where: str) -> None:
        if sample.task not in self.run_json["tasks"]:
            raise UsageError(f"{self.path}: {where}: run.json has no such task")
        if sample.system not in self.run_json["systems"]:
            raise UsageError(f"{self.path}: {where}: run.json has no such system")
        prompt = self._prompts.code((sample.task, sample.prompt_id))
        place = (
            (sample.repeat << 64) + (prompt << 32) + self._systems.code(sample.system)
        )  # small: there may be millions
        if place in self._places:
            raise UsageError(f"{self.path}: {where}, repeat {sample.repeat}: two samples")
        self._places.add(place)
        for predictor in self.run_json["predictors"]:
            check_row(row_of(sample, predictor), str(self.path))

    def _row(self, sample: Sample, predictor: str) -> Row:
        run_json = self.run_json
        task, mode = run_json["tasks"][sample.task], run_json["modes"].get(sample.mode or "")
        score = row_of(sample, predictor)
        usage, match = sample.usage or {}, sample.match or {}
        row: Row = {
            **{name: getattr(sample, name, None) for name in COLUMNS},
            "status": score.status,
            "popularity": score.popularity,
            "predictor": run_json["predictors"][predictor],
            "predictor_name": predictor,
            "unit": run_json["units"][predictor],
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
            **{f"match_{name}": match.get(name) for name in ("id", "similarity", "popularity")},
        }
        return {name: _value(name, row[name], kind) for name, kind in COLUMNS.items()}


def _value(name: str, value: Any, kind: type | GenericAlias) -> JSON:
    """Return a value as its column has it; raises TypeError or ValueError for what no file should hold.

    Half of a surrogate pair, which is no character and which no UTF-8 file takes, becomes U+FFFD.
    """
    if value is None:
        return None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _LARGEST:
            raise ValueError(f"{name} is too large a number")
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        text = whole(value)
        if text != value and name in _IDS:
            raise ValueError(f"{name} is no valid text")
        return text
    if isinstance(kind, GenericAlias) and all(isinstance(item, str) for item in value):
        return [whole(item) for item in value]
    raise TypeError(f"{name} is {value!r:.50}, which it cannot be")


def whole(text: str) -> str:
    """Return a text with U+FFFD in the place of halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

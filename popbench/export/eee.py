"""Writes Every Eval Ever files: for each system, an aggregate (medians and win rates) and instances (all scores).

They follow version 0.3.0 of the format's two JSON schemas (evaleval/every_eval_ever on GitHub). The format's "model" is
a whole system here: an LLM, a mode and a generator.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.export.columns import Exported, ExportRow
from popbench.export.eee_instances import instance, median_id, result_id, text
from popbench.export.staged_files import staged
from popbench.keys import digest
from popbench.leaderboard.pairs import LEVEL
from popbench.leaderboard.results import compute
from popbench.records import JSON, parts_of
from popbench.runs.redaction import public
from popbench.runs.run_json import RunJson, scale_of
from popbench.scores.eee_files import INSTANCES, SCHEMA_VERSION
from popbench.scores.run_scores import RunScores
from popbench.scores.scores import refuse_rounds
from popbench.text import counted

_OWNER = "popbench"
_MEDIAN = "Median over prompts of the popularity that a predictor gives a system's videos; 0 for an invalid sample."
_REAL_MEDIAN = (
    "Median over prompts of the score that a predictor gives a system's videos, of any sign; an invalid sample ranks "
    "below every score."
)
_WIN_RATE = (
    "Share of prompts on which a system's video scores higher than another system's, ties half, averaged over the "
    "other systems of the run."
)
_DEMO = "demonstration: these scores say nothing about real popularity"


def write_eee(
    run: Path, out: Path, *, organization: str = "unknown", relationship: str = "other", force: bool = False
) -> tuple[list[Path], bool]:
    """Write a run's systems into the folder `out`; return the aggregates' paths, and whether the scores are a demo's.

    The files lie below data/, as the format has them. `organization` is the evaluator, and `relationship` its relation
    to the models' developers. Raises UsageError if the run is not finished, if samples are damaged, in error, or
    invalid on a real scale, for which the format has no score, and, unless `force`, if files have other content;
    RunError if the disk refuses.
    """
    exported = Exported(run)
    run_json = exported.run_json
    scores = RunScores(run_json, str(run))
    errors = without_number = 0
    for sample, rows in exported.samples():
        scores.add(sample)
        errors += any(row["status"] == "error" for row in rows.values())
        without_number += any(row["popularity"] is None for row in rows.values())
    if errors:
        raise UsageError(
            f"{run}: {counted(errors, 'sample')} without a result, which the format cannot tell from a score: give the "
            "run's command again to finish it, or export jsonl or parquet"
        )
    if without_number:
        raise UsageError(
            f"{run}: {counted(without_number, 'invalid sample')} on a real scale, for which the format has no number: "
            "export jsonl or parquet"
        )
    written: list[Path] = []
    refuse_rounds(scores.scores(), "this format")
    evaluation = _Evaluation(run_json, compute(scores.scores()), organization, relationship)
    with staged(force=force) as files:
        instances: dict[str, _Instances] = {}
        for sample, rows in exported.samples():
            system = sample.system
            if system not in instances:
                instances[system] = _Instances(files.add(out / evaluation.path(system)))
            for line in instance(sample, rows, evaluation.id(system)):
                instances[system].add(line)
        for system, content in sorted(instances.items()):
            name = evaluation.path(system)
            aggregate = (out / name).with_name(Path(name).name.removesuffix(INSTANCES) + ".json")
            aggregate_content = evaluation.aggregate(system, name, content.checksum(), content.rows)
            files.add(aggregate).write_text(
                json.dumps(aggregate_content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
            )
            written.append(aggregate)
    return written, run_json["demo"]


class _Instances:
    """Writes a file of a system's instances, one by one."""

    _BUFFER = 2**16

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._size = self.rows = 0

    def add(self, line: ExportRow) -> None:
        """Add a line; raises OSError if the disk refuses."""
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        self._waiting.append(text.encode())
        self._size += len(self._waiting[-1])
        self.rows += 1
        if self._size > self._BUFFER:
            self._write()

    def checksum(self) -> str:
        """Write the lines still in memory, and return the SHA-256 of the file."""
        self._write()
        return self._hash.hexdigest()

    def _write(self) -> None:
        content = b"".join(self._waiting)
        self._hash.update(content)
        with self._path.open("ab") as file:
            file.write(content)
        self._waiting, self._size = [], 0


class _Evaluation:
    """Makes the aggregates of a run's systems, and names their files."""

    def __init__(self, run_json: RunJson, results: Mapping[str, JSON], organization: str, relationship: str) -> None:
        self._run_json = run_json
        self._results = results
        self._source = (organization, relationship)
        self._started = run_json["timings"]["started"]
        self._epoch = str(int(datetime.fromisoformat(self._started).timestamp()))

    def id(self, system: str) -> str:
        """Return the id of a system's evaluation as the format has it: of the tool, the tasks, the system, the time."""
        tasks = "+".join(sorted(self._run_json["tasks"]))
        return f"{_OWNER}/{tasks}/{system}/{self._epoch}"

    def path(self, system: str) -> str:
        """Return the path of a system's instances, which depends on its tasks, seed, predictors and fingerprints."""
        run_json = self._run_json
        tasks = {name: task["hash"] for name, task in run_json["tasks"].items()}
        made = digest(system, run_json["systems"][system], tasks, run_json["predictors"], run_json["config"]["seed"])
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", system.replace("|", "+"))[:100].strip(".-") or "system"
        return f"data/{_OWNER}/{_OWNER}/{name}/{uuid.UUID(hex=made, version=4)}{INSTANCES}"

    def aggregate(self, system: str, path: str, checksum: str, rows: int) -> dict[str, JSON]:
        """Return the aggregate of one system: the system, its statistics, and the file of its scores."""
        run_json = self._run_json
        organization, relationship = self._source
        demo = {"demo": text(run_json["demo"])}
        return {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": self.id(system),
            "evaluation_timestamp": self._started,
            "retrieved_timestamp": self._epoch,
            "source_metadata": {
                "source_name": f"popbench run ({_DEMO})" if run_json["demo"] else "popbench run",
                "source_type": "evaluation_run",
                "source_organization_name": organization,
                "evaluator_relationship": relationship,
                "additional_details": demo,
            },
            "eval_library": {"name": "popbench", "version": run_json["versions"]["popbench"]},
            "model_info": self._model(system),
            "evaluation_results": [
                result for row in self._results["systems"] if row["system"] == system for result in self._of_row(row)
            ],
            "detailed_evaluation_results": {
                "format": "jsonl",
                "file_path": path,
                "hash_algorithm": "sha256",
                "checksum": checksum,
                "total_rows": rows,
            },
        }

    def _model(self, system: str) -> dict[str, JSON]:
        parts = zip(("llm", "mode", "generator"), parts_of(system) or (), strict=False)
        details = {
            **dict(parts),
            **{
                f"{kind}_fingerprint": json.dumps(public(part["fingerprint"]), ensure_ascii=False)
                for kind, label in zip(("llm", "mode", "generator"), parts_of(system) or (), strict=False)
                if (part := self._run_json["components"].get(f"{kind} {label}"))
            },
            "system_fingerprints": json.dumps(self._run_json["systems"][system]),
        }
        return {
            "name": system,
            "id": f"{_OWNER}/{system}",
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown", **details},
        }

    def _of_row(self, row: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
        """Yield the statistics of a system's row: its median, and its mean win rate if there are other systems."""
        unit = next(item["unit"] for item in self._results["predictors"] if item["name"] == row["predictor"])
        real = scale_of(self._run_json, row["predictor"]) == "real"
        metric = {
            "evaluation_description": _REAL_MEDIAN if real else _MEDIAN,
            "metric_id": "popbench.median_popularity",
            "metric_name": "Median popularity",
            "metric_kind": "median",
            "metric_unit": unit,
            "max_score": "Infinity",
        }
        median = row["median"]
        score = _score(row, median["value"], (median["low"], median["high"]), "Woodruff")
        yield self._result(median_id(row["task"], row["predictor"]), row, metric, score, "-Infinity" if real else 0)
        if row["mean_win_rate"] is None:
            return
        opponents = [
            other["system"]
            for other in self._results["systems"]
            if (other["task"], other["predictor"]) == (row["task"], row["predictor"]) and other is not row
        ]
        metric = {
            "evaluation_description": _WIN_RATE,
            "metric_id": "popbench.mean_win_rate",
            "metric_name": "Mean win rate",
            "metric_kind": "win_rate",
            "metric_unit": "proportion",
            "metric_parameters": {"opponents": len(opponents)},
            "max_score": 1,
        }
        score = _score(row, row["mean_win_rate"], row["mean_win_rate_interval"], "paired stratified bootstrap")
        score["uncertainty"]["num_bootstrap_samples"] = self._results["resamples"]
        score["details"]["opponents"] = text(opponents)
        yield self._result(result_id(row["task"], row["predictor"], "mean_win_rate"), row, metric, score)

    def _result(
        self,
        name: str,
        row: Mapping[str, JSON],
        metric: Mapping[str, JSON],
        score: Mapping[str, JSON],
        least: JSON = 0,
    ) -> dict[str, JSON]:
        predictor = {"predictor": self._run_json["predictors"][row["predictor"]], "predictor_name": row["predictor"]}
        return {
            "evaluation_result_id": name,
            "evaluation_name": row["task"],
            "source_data": self._task(row["task"]),
            "evaluation_timestamp": self._started,
            "metric_config": {
                **metric,
                "lower_is_better": False,
                "score_type": "continuous",
                "min_score": least,
                "additional_details": predictor,
            },
            "score_details": score,
            "generation_config": self._generation(row["system"]),
        }

    def _task(self, name: str) -> dict[str, JSON]:
        tasks = self._run_json["tasks"]
        of_name = {task: entry for task, entry in tasks.items() if name in (task, entry["group"])}
        details = {f"hash of {task}": entry["hash"] for task, entry in sorted(of_name.items())}
        return {"dataset_name": name, "source_type": "other", "additional_details": details}

    def _generation(self, system: str) -> dict[str, JSON]:
        """Return how drafts were generated: the LLM's options for decoding, and the mode."""
        run_json = self._run_json
        details = {"seed": text(run_json["config"]["seed"]), "repeats": text(run_json["config"]["repeats"])}
        arguments: dict[str, Any] = {}
        if (parts := parts_of(system)) is not None:
            llm, mode = run_json["components"].get(f"llm {parts[0]}"), run_json["modes"].get(parts[1])
            options = llm["fingerprint"].get("options") if llm else None
            options = options if isinstance(options, dict) else {}
            arguments = {
                name: options[name]
                for name in ("temperature", "top_p", "top_k")
                if isinstance(options.get(name), int | float) and not isinstance(options[name], bool)
            }
            details |= {
                "mode": parts[1],
                "mode_options": text(public(mode["options"] if mode else None)),
                "templates": text(mode.get("templates") if mode else None),
            }
            references = run_json.get("references")
            if mode and mode["options"] and references:
                details |= {
                    "corpus": text(references["corpus"]),
                    "part": text(references["part"]),
                    "embedder": text(references["embedder"]),
                }
        return {"generation_args": arguments, "additional_details": details}


def _score(row: Mapping[str, JSON], value: float, interval: Sequence[float | None], method: str) -> dict[str, JSON]:
    """Return a statistic with the number of prompts and, if there are enough prompts, its interval."""
    low, high = interval
    bounds = {"lower": low, "upper": high, "confidence_level": LEVEL, "method": method}
    interval_known = {"confidence_interval": bounds} if low is not None and high is not None else {}
    return {
        "score": value,
        "details": {"invalid": str(row["invalid"])},
        "uncertainty": {**interval_known, "num_samples": row["n"]},
    }

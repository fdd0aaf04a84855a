"""Makes the instances of Every Eval Ever files: a line for each sample and predictor, with all that a board needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from popbench.export.columns import ExportRow, whole
from popbench.records import JSON, Sample
from popbench.scores.eee_files import SCHEMA_VERSION

_COSTS = (
    "seconds_generate", "seconds_predict", "peak_memory_mb_llm", "peak_memory_mb_generate", "peak_memory_mb_predict",
)  # fmt: skip
_ELSEWHERE = {
    "prompt_id", "popularity", "prompt", "video_prompt", "completion", "reasoning", "error", "input_tokens",
    "output_tokens", "seconds_llm", *_COSTS,
}  # fmt: skip
"""Columns with a field of their own in an instance; the others go into its metadata."""


def instance(sample: Sample, rows: Mapping[str, ExportRow], evaluation: str) -> list[ExportRow]:
    """Return a sample's lines, one for each predictor; `evaluation` is the id of the system's aggregate."""
    return [_line(sample, predictor, row, evaluation) for predictor, row in rows.items()]


def _line(sample: Sample, predictor: str, row: ExportRow, evaluation: str) -> ExportRow:
    completion, reasoning = row["completion"], row["reasoning"]
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation,
        "model_id": f"popbench/{sample.system}",
        "evaluation_name": sample.task,
        "evaluation_result_id": median_id(sample.task, predictor),
        "sample_id": sample.prompt_id,
        "sample_hash": hashlib.sha256(row["prompt"].encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": row["prompt"], "formatted": None, "reference": []},
        "output": {
            "raw": [] if completion is None else [completion],
            "reasoning_trace": None if reasoning is None else [reasoning],
        },
        "messages": None,
        "answer_attribution": _attribution(sample, row),
        "evaluation": {"score": row["popularity"], "is_correct": row["status"] == "ok", "num_turns": 1},
        "token_usage": _tokens(row),
        "performance": _performance(row),
        "error": row["error"],
        "metadata": {
            name: text(value) for name, value in row.items() if value not in (None, []) and name not in _ELSEWHERE
        },
    }


def _attribution(sample: Sample, row: ExportRow) -> list[JSON]:
    """Return what was read from the answer; nothing for an invalid one or a human-made video."""
    if sample.completion is None:
        return []
    return [
        {
            "turn_idx": 0,
            "source": "output.raw",
            "extracted_value": row[name],
            "extraction_method": f"{name} of the JSON object in the answer",
            "is_terminal": name == "video_prompt",
        }
        for name in ("title", "video_prompt")
        if row[name] is not None
    ]


def _tokens(row: ExportRow) -> dict[str, int] | None:
    count = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
    return None if None in count.values() else {**count, "total_tokens": sum(count.values())}


def _performance(row: ExportRow) -> dict[str, JSON] | None:
    details = {name: text(row[name]) for name in _COSTS if row[name] is not None}
    seconds = row["seconds_llm"]
    if seconds is None and not details:
        return None
    return {"generation_time_ms": None if seconds is None else 1000 * seconds, "additional_details": details}


def result_id(task: str, predictor: str, metric: str) -> str:
    """Return the id of a statistic of an aggregate, which its instances refer to."""
    return f"{task}/{predictor}/{metric}"


def median_id(task: str, predictor: str) -> str:
    """Return the id of the median popularity, which is the statistic of the instances' scores."""
    return result_id(task, predictor, "median_popularity")


def text(value: JSON) -> str:
    """Return a value as text, which the format's details have to be; values of other types as JSON."""
    return whole(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)

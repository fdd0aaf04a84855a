"""From the ledger to samples: one row per system, task, prompt and repeat, and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.ledger import Call, Cell, Done, Ledger
from popbench.plan import Part, Plan, System, TaskMode
from popbench.records import JSON, Prompt, Sample

PENDING = "pending: not done yet"

Errors = Mapping[tuple[Cell, str, int], str]


def collect(plan: Plan, ledger: Ledger, errors: Errors) -> Iterator[Sample]:
    """Yield the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says what went wrong for items of (cell, prompt id, repeat) that the ledger does not have.
    """
    for system in plan.systems:
        for task in plan.tasks:
            yield from _of_task(plan, ledger, errors, system, plan.of_system(task, system))


def _of_task(plan: Plan, ledger: Ledger, errors: Errors, system: System, task_mode: TaskMode) -> Iterator[Sample]:
    chain = (system.llm, system.generator)
    write = _Settled(ledger, errors, task_mode.cell("write", system.llm))
    render = _Settled(ledger, errors, task_mode.cell("render", *chain))
    scores = [
        (predictor, _Settled(ledger, errors, task_mode.cell("score", *chain, predictor)))
        for predictor in plan.predictors
    ]
    for prompt in plan.prompts[task_mode.task.name]:
        for repeat in range(plan.config.repeats):
            yield _sample(plan, system, prompt, repeat, write, render, scores)


class _Settled:
    """What one stage settled for the samples of a cell."""

    def __init__(self, ledger: Ledger, errors: Errors, cell: Cell) -> None:
        self._cell = cell
        self._errors = errors
        self._done = ledger.done(cell)
        self._calls = dict(ledger.calls(cell))

    def get(self, at: tuple[str, int]) -> tuple[Done, Call] | None:
        return (self._done[at], self._calls[at]) if at in self._done else None

    def error(self, at: tuple[str, int]) -> str:
        return self._errors.get((self._cell, *at), PENDING)


def _sample(
    plan: Plan,
    system: System,
    prompt: Prompt,
    repeat: int,
    write: _Settled,
    render: _Settled,
    scores: list[tuple[Part, _Settled]],
) -> Sample:
    at = (prompt.id, repeat)
    values: dict[str, Any] = {
        "system": system.id,
        "llm": system.llm.label,
        "mode": system.mode.label,
        "generator": system.generator.label,
        "task": prompt.task,
        "prompt_id": prompt.id,
        "category": prompt.category,
        "repeat": repeat,
        "seconds": {"llm": None, "generate": None, "predict": None},
        "peak_memory_mb": {"llm": None, "generate": None, "predict": None},
        "scores": {predictor.label: None for predictor, _ in scores},
        "notes": [],
    }
    _add_draft(values, write.get(at), write.error(at))
    if values["status"] == "ok" and plan.config.stop_after != "write":
        _add_clip(values, render.get(at), render.error(at))
        if values["status"] == "ok" and plan.config.stop_after is None:
            _add_scores(values, [(part.label, settled.get(at), settled.error(at)) for part, settled in scores])
    if values["status"] == "invalid":
        values["popularity"] = 0.0
        values["scores"] = dict.fromkeys(values["scores"], 0.0)
    return Sample(**{**values, "notes": tuple(values["notes"])})


def _add_draft(values: dict[str, Any], found: tuple[Done, Call] | None, error: str) -> None:
    if found is None:
        values |= {"status": "error", "error": error}
        return
    done, call = found
    values |= {
        "status": done.status,
        "error": done.value.get("error"),
        "completion": call.payload.get("text"),
        "reasoning": done.value.get("reasoning", call.payload.get("reasoning")),
        "attempts": done.value["attempts"],
        "references": tuple(done.value["references"]),
        "usage": call.payload.get("usage"),
    }
    _add_costs(values, "llm", {**call.payload, "seconds": done.value["seconds"]})
    if done.status == "ok":
        breaches = done.value["breaches"]
        values |= {
            "title": done.value["title"],
            "video_prompt": done.value["video_prompt"],
            "compliance": not breaches,
        }
        values["notes"] += breaches


def _add_clip(values: dict[str, Any], found: tuple[Done, Call] | None, error: str) -> None:
    if found is None:
        values |= {"status": "error", "error": error}
        return
    done, call = found
    values |= {"status": done.status, "error": done.value.get("error")}
    if done.status == "ok":
        values |= {"video": f"videos/{done.key}.mp4", "video_sha256": call.payload["sha256"]}
    _add_costs(values, "generate", call.payload)


def _add_scores(values: dict[str, Any], found: list[tuple[str, tuple[Done, Call] | None, str]]) -> None:
    """Add every predictor's score; the sample is in error while one of them is missing."""
    for position, (label, settled, error) in enumerate(found):
        if settled is None:
            if values["status"] == "ok":
                values |= {"status": "error", "error": error}
            continue
        done, call = settled
        if done.status == "invalid":
            values |= {"status": "invalid", "error": done.value.get("error")}
            continue
        values["scores"][label] = call.payload["popularity"]
        if position == 0:
            values["popularity"] = call.payload["popularity"]
            _add_costs(values, "predict", call.payload)
        else:
            values["notes"] += call.payload["notes"]
    if values["status"] == "error":
        values["popularity"] = None


def _add_costs(values: dict[str, Any], stage: str, payload: Mapping[str, JSON]) -> None:
    values["seconds"][stage] = payload["seconds"]
    values["peak_memory_mb"][stage] = payload["peak_memory_mb"]
    values["notes"] += payload["notes"]


def write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    """Write one sample a line; the file appears when it is complete. Raises OSError where the disk refuses."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(as_dict(sample), ensure_ascii=False, separators=(",", ":")))
            file.write("\n")
    partial.replace(path)


_FIELDS = tuple(item.name for item in dataclasses.fields(Sample))


def as_dict(sample: Sample) -> dict[str, JSON]:
    """Return a sample's fields in their order (shallow: the values are JSON already)."""
    return {name: getattr(sample, name) for name in _FIELDS}


def read_jsonl(path: Path) -> Iterator[Sample]:
    """Read samples back; raises UsageError that names the line that is no sample."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    values = json.loads(line)
                    yield Sample(
                        **{
                            **values,
                            "references": tuple(values["references"]),
                            "notes": tuple(values["notes"]),
                        }
                    )
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    raise UsageError(f"{path}: line {number} is no sample ({one_line(error)})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error

"""From the ledger to samples: one row per system, task, prompt and repeat, and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.ledger import Cell
from popbench.plan import Plan, System, TaskMode
from popbench.records import JSON, Prompt, Sample
from popbench.settled import At, Settled, View, sha256

PENDING = "pending: not done yet"

Errors = Mapping[tuple[Cell, str, int], str]


def collect(plan: Plan, view: View, errors: Errors) -> Iterator[Sample]:
    """Yield the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says what went wrong for items of (cell, prompt id, repeat) that are not settled.
    """
    for system in plan.systems:
        for task in plan.tasks:
            yield from _of_task(plan, view, errors, system, plan.of_system(task, system))


@dataclass(frozen=True, slots=True)
class _Stage:
    """What one stage settled in a cell, and what failed there."""

    cell: Cell
    settled: Mapping[At, Settled]
    errors: Errors

    def get(self, at: At) -> Settled | str:
        """Return what is settled at a place, or why nothing is."""
        return self.settled.get(at) or self.errors.get((self.cell, *at), PENDING)


def _of_task(plan: Plan, view: View, errors: Errors, system: System, task_mode: TaskMode) -> Iterator[Sample]:
    llm, generator = system.llm, system.generator
    calls = dict(view.calls(task_mode.cell("write", llm)))
    drafts = {at: Settled(done, calls[at]) for at, done in view.write(task_mode, llm).items()}
    write = _Stage(task_mode.cell("write", llm), drafts, errors)
    render = _Stage(task_mode.cell("render", llm, generator), view.render(task_mode, llm, generator), errors)
    scores = {
        predictor.label: _Stage(
            task_mode.cell("score", llm, generator, predictor),
            view.score(task_mode, llm, generator, predictor),
            errors,
        )
        for predictor in plan.predictors
    }
    for prompt in plan.prompts[task_mode.task.name]:
        for repeat in range(plan.config.repeats):
            yield _sample(plan, system, prompt, repeat, write, render, scores)


def _sample(
    plan: Plan, system: System, prompt: Prompt, repeat: int, write: _Stage, render: _Stage, scores: Mapping[str, _Stage]
) -> Sample:
    at = (prompt.id, repeat)
    values: dict[str, Any] = {
        "system": system.id,
        "llm": system.llm.label,
        "mode": system.mode.label,
        "generator": system.generator.label,
        "task": prompt.task,
        "prompt_id": prompt.id,
        "prompt": prompt.text,
        "category": prompt.category,
        "repeat": repeat,
        "seconds": {"llm": None, "generate": None, "predict": None},
        "peak_memory_mb": {"llm": None, "generate": None, "predict": None},
        "scores": dict.fromkeys(scores),
        "notes": [],
    }
    _add_draft(values, system, write.get(at))
    if values["status"] == "ok" and plan.config.stop_after != "write":
        _add_clip(values, render.get(at))
    if values["status"] == "invalid":  # no predictor has anything to score
        values["popularity"] = 0.0
        values["scores"] = dict.fromkeys(scores, 0.0)
    elif values["status"] == "ok" and plan.config.stop_after is None:
        _add_scores(values, {label: stage.get(at) for label, stage in scores.items()})
    return Sample(**{**values, "notes": tuple(values["notes"])})


def _add_draft(values: dict[str, Any], system: System, found: Settled | str) -> None:
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    value, payload = found.done.value, found.call.payload
    values |= {
        "status": found.done.status,
        "error": value.get("error"),
        "completion": payload.get("text"),
        "reasoning": value.get("reasoning", payload.get("reasoning")),
        "attempts": value["attempts"],
        "references": tuple(value["references"]),
        "usage": value.get("usage"),
        "cost": system.llm.cost(value["usage"]) if value.get("usage") else None,
    }
    _add_costs(values, "llm", value)
    if found.ok:
        breaches = value["breaches"]
        values |= {"title": value["title"], "video_prompt": value["video_prompt"], "compliance": not breaches}
        values["notes"] += breaches


def _add_clip(values: dict[str, Any], found: Settled | str) -> None:
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    values |= {"status": found.done.status, "error": found.done.value.get("error")}
    if found.ok:
        values |= {"video": f"videos/{found.call.key}.mp4", "video_sha256": sha256(found.call)}
    _add_costs(values, "generate", found.call.payload)


def _add_scores(values: dict[str, Any], found: Mapping[str, Settled | str]) -> None:
    """Add every predictor's score: its own 0 where it finds the sample invalid, None where it is missing.

    While one is missing the sample is in error; otherwise its status and popularity are the first predictor's.
    """
    for label, settled in found.items():
        if not isinstance(settled, str):
            values["scores"][label] = settled.call.payload["popularity"] if settled.ok else 0.0
            _add_costs(values, "predict", settled.call.payload)
    missing = [settled for settled in found.values() if isinstance(settled, str)]
    first = next(iter(found.values()))
    if missing:
        values |= {"status": "error", "error": missing[0]}
    elif isinstance(first, Settled):
        values |= {"status": first.done.status, "error": first.done.value.get("error")}
        values["popularity"] = next(iter(values["scores"].values()))


def _add_costs(values: dict[str, Any], stage: str, costs: Mapping[str, JSON]) -> None:
    """Add what a stage took; of several predictors, the first one's time and memory, and all notes."""
    for name in ("seconds", "peak_memory_mb"):
        if values[name][stage] is None:
            values[name][stage] = costs.get(name)
    values["notes"] += costs.get("notes", [])


def write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    """Write one sample a line; the file appears when it is complete. Raises OSError where the disk refuses."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        for sample in samples:
            file.write(json.dumps(as_dict(sample), ensure_ascii=False, separators=(",", ":"), allow_nan=False))
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

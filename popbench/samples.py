"""From the ledger to samples: one row per system, task, prompt and repeat, and the files that hold them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.ledger import Cell
from popbench.plan import Plan
from popbench.records import JSON, Sample
from popbench.settled import At, Settled, View, sha256
from popbench.systems import Part, System, Track

PENDING = "pending: not done yet"

Errors = Mapping[tuple[Cell, str, int], str]


def collect(plan: Plan, view: View, errors: Errors) -> Iterator[Sample]:
    """Yield the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says what went wrong for items of (cell, prompt id, repeat) that are not settled.
    """
    for system in plan.systems:
        for task in plan.tasks:
            yield from _of_system(plan, view, errors, system, plan.of_system(task, system))
    for track in plan.human_tracks:
        if plan.human is not None and plan.config.stop_after is None:
            yield from _of_human(plan, view, errors, plan.human, track)


@dataclass(frozen=True, slots=True)
class _Stage:
    """What one stage settled in a cell, and what failed there."""

    cell: Cell
    settled: Mapping[At, Settled]
    errors: Errors

    def get(self, at: At) -> Settled | str:
        """Return what is settled at a place, or why nothing is."""
        return self.settled.get(at) or self.errors.get((self.cell, *at), PENDING)


def _of_system(plan: Plan, view: View, errors: Errors, system: System, track: Track) -> Iterator[Sample]:
    llm, generator = system.llm, system.generator
    about = {"system": system.id, "llm": llm.label, "mode": system.mode.label, "generator": generator.label}

    def add_draft(values: dict[str, Any], found: Settled | str) -> None:
        _add_draft(values, llm, found)

    return _of_track(plan, view, errors, track, (llm, generator), about, add_draft)


def _of_human(plan: Plan, view: View, errors: Errors, human: Part, track: Track) -> Iterator[Sample]:
    about = {"system": human.label, "llm": None, "mode": None, "generator": None}
    return _of_track(plan, view, errors, track, (human, human), about, _add_match)


def _of_track(
    plan: Plan,
    view: View,
    errors: Errors,
    track: Track,
    makers: Sequence[Part],
    about: Mapping[str, JSON],
    add_draft: Callable[[dict[str, Any], Settled | str], None],
) -> Iterator[Sample]:
    writer, renderer = makers
    cell = track.cell("write", writer)
    calls = dict(view.calls(cell))
    drafts = {at: Settled(done, calls[at]) for at, done in view.write(track, writer).items()}
    write = _Stage(cell, drafts, errors)
    render = _Stage(track.cell("render", *makers), view.render(track, writer, renderer), errors)
    scores = {
        predictor.label: _Stage(
            track.cell("score", *makers, predictor), view.score(track, writer, renderer, predictor), errors
        )
        for predictor in plan.predictors
    }
    for prompt, repeat in plan.places(track):
        at = (prompt.id, repeat)
        values: dict[str, Any] = {
            **about,
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
        add_draft(values, write.get(at))
        if values["status"] == "ok" and plan.config.stop_after != "write":
            _add_clip(values, render.get(at))
        if values["status"] == "invalid":  # no predictor has anything to score
            values["popularity"] = 0.0
            values["scores"] = dict.fromkeys(scores, 0.0)
        elif values["status"] == "ok" and plan.config.stop_after is None:
            _add_scores(values, {label: stage.get(at) for label, stage in scores.items()})
        yield Sample(**{**values, "notes": tuple(values["notes"])})


def _add_match(values: dict[str, Any], found: Settled | str) -> None:
    """Add a human-made video: it has a title and no prompt."""
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    values |= {"status": found.done.status, "title": found.done.value["title"], "match": found.done.value["match"]}


def _add_draft(values: dict[str, Any], llm: Part, found: Settled | str) -> None:
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
        "cost": llm.cost(value["usage"]) if value.get("usage") else None,
    }
    _add_costs(values, "llm", value)
    if found.ok:
        breaches = value["breaches"]
        values |= {
            "title": value["title"],
            "video_prompt": value["video_prompt"],
            "compliance": not breaches,
            "originality": value.get("originality"),
        }
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


_TEXTS = ("system", "task", "prompt_id", "prompt", "category", "status")
_OPTIONAL_TEXTS = ("title", "video", "video_sha256", "video_prompt", "error")


def _check_types(values: Mapping[str, JSON]) -> None:
    """Raise TypeError for a line that was edited into no sample: what is read here is compared, shown and opened."""
    for name in _TEXTS:
        if not isinstance(values[name], str):
            raise TypeError(f"{name} is no text")
    for name in _OPTIONAL_TEXTS:
        if not isinstance(values.get(name), str | None):
            raise TypeError(f"{name} is no text")
    if isinstance(values["repeat"], bool) or not isinstance(values["repeat"], int):
        raise TypeError("repeat is no whole number")
    for number in (values.get("popularity"), *dict(values["scores"]).values()):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise TypeError("a score is no number")
        float(number or 0)  # raises for a number beyond all floats


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
                    _check_types(values)
                    yield Sample(
                        **{
                            **values,
                            "references": tuple(values["references"]),
                            "notes": tuple(values["notes"]),
                        }
                    )
                except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                    raise UsageError(f"{path}: line {number} is no sample ({one_line(error)})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error

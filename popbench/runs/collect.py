"""From the ledger to samples: one row per system, task, prompt and repeat; none is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from popbench.pipeline.ledger_view import At, Settled, View
from popbench.pipeline.queues import Undone
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, System, Track
from popbench.records import JSON, Sample
from popbench.runs.samples import make_sample

PENDING = "pending: not done yet"


def collect(plan: Plan, view: View, errors: Undone) -> Iterator[Sample]:
    """Yield the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says what went wrong for items of (cell, prompt id, repeat) that are not settled.
    """
    for system in plan.systems:
        for task in plan.tasks:
            yield from _of_system(plan, view, errors, system, plan.of_system(task, system))
    for track in plan.human_tracks:
        if plan.human is not None and plan.config.stop_after is None:
            yield from _of_human(plan, view, errors, plan.human, track)


def _of_system(plan: Plan, view: View, errors: Undone, system: System, track: Track) -> Iterator[Sample]:
    names = {"system": system.id, "llm": system.llm.label, "mode": system.mode.label}
    names["generator"] = system.generator.label
    return _of_track(plan, view, errors, track, (system.llm, system.generator), names)


def _of_human(plan: Plan, view: View, errors: Undone, human: Part, track: Track) -> Iterator[Sample]:
    names = {"system": human.label, "llm": None, "mode": None, "generator": None}
    return _of_track(plan, view, errors, track, (human, human), names)


def _of_track(
    plan: Plan,
    view: View,
    errors: Undone,
    track: Track,
    makers: Sequence[Part],
    names: Mapping[str, JSON],
) -> Iterator[Sample]:
    cells = [track.cell("write", makers[0]), track.cell("render", *makers)]
    cells += [track.cell("score", *makers, predictor) for predictor in plan.predictors]
    labels = [predictor.label for predictor in plan.predictors]
    human = names["llm"] is None

    def why(number: int, at: At) -> str:
        return errors.why(cells[number], *at) or PENDING

    places = ((prompt.id, repeat) for prompt, repeat in plan.places(track))
    settled = view.samples(track, makers, plan.predictors, places)
    for (prompt, repeat), (at, draft, clip, scores) in zip(plan.places(track), settled, strict=True):
        settled_fields = assemble(
            draft or why(0, at),
            clip or why(1, at),
            {label: scores[n] or why(2 + n, at) for n, label in enumerate(labels)},
            human=human,
            cost=makers[0].cost,
            stop_after=plan.config.stop_after,
        )
        yield make_sample(
            {
                **names,
                "task": prompt.task,
                "prompt_id": prompt.id,
                "prompt": prompt.text,
                "category": prompt.category,
                "repeat": repeat,
                **settled_fields,
            }
        )


def assemble(
    draft: Settled | str,
    clip: Settled | str,
    scores: Mapping[str, Settled | str],
    *,
    human: bool = False,
    cost: Callable[[Mapping[str, int]], float | None] = lambda _: None,
    stop_after: str | None = None,
) -> dict[str, Any]:
    """Return the fields of a sample that its stages settle; `scores` are by predictor.

    A stage that is not settled is given as the reason why. `cost` returns what a draft of some usage cost, in USD.
    `human` tells the human baseline, which has a match in the place of a draft.
    """
    values: dict[str, Any] = {
        "seconds": {"llm": None, "generate": None, "predict": None},
        "peak_memory_mb": {"llm": None, "generate": None, "predict": None},
        "scores": dict.fromkeys(scores),
        "notes": [],
    }
    if human:
        _add_match(values, draft)
    else:
        _add_draft(values, cost, draft)
    if values["status"] == "ok" and stop_after != "write":
        _add_clip(values, clip)
    if values["status"] == "invalid":  # no predictor has anything to score
        values["popularity"] = 0.0
        values["scores"] = dict.fromkeys(scores, 0.0)
    elif values["status"] == "ok" and stop_after is None:
        _add_scores(values, scores)
    values["notes"] = tuple(values["notes"])
    return values


def _add_match(values: dict[str, Any], found: Settled | str) -> None:
    """Add a human-made video: it has a title and no prompt."""
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    values |= {"status": found.status, "title": found.value["title"], "match": found.value["match"]}


def _add_draft(values: dict[str, Any], cost: Callable[[Mapping[str, int]], float | None], found: Settled | str) -> None:
    if isinstance(found, str):
        values |= {"status": "error", "error": found}
        return
    value, payload = found.value, found.payload
    values |= {
        "status": found.status,
        "error": value.get("error"),
        "completion": payload.get("text"),
        "reasoning": value.get("reasoning", payload.get("reasoning")),
        "attempts": value["attempts"],
        "references": tuple(value["references"]),
        "usage": value.get("usage"),
        "cost": cost(value["usage"]) if value.get("usage") else None,
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
    values |= {"status": found.status, "error": found.value.get("error")}
    if found.ok:
        values |= {"video": f"videos/{found.key}.mp4", "video_sha256": str(found.payload["sha256"])}
    _add_costs(values, "generate", found.payload)


def _add_scores(values: dict[str, Any], found: Mapping[str, Settled | str]) -> None:
    """Add every predictor's score: its own 0 where it finds the sample invalid, None where it is missing.

    While one is missing the sample is in error; otherwise its status and popularity are the first predictor's.
    """
    for label, settled in found.items():
        if not isinstance(settled, str):
            values["scores"][label] = settled.payload["popularity"] if settled.ok else 0.0
            _add_costs(values, "predict", settled.payload)
    missing = [settled for settled in found.values() if isinstance(settled, str)]
    first = next(iter(found.values()))
    if missing:
        values |= {"status": "error", "error": missing[0]}
    elif not isinstance(first, str):
        values |= {"status": first.status, "error": first.value.get("error")}
        values["popularity"] = next(iter(values["scores"].values()))


def _add_costs(values: dict[str, Any], stage: str, costs: Mapping[str, JSON]) -> None:
    """Add what a stage took; of several predictors, the first one's time and memory, and all notes."""
    seconds, memory, notes = values["seconds"], values["peak_memory_mb"], costs.get("notes")
    if seconds[stage] is None:
        seconds[stage] = costs.get("seconds")
    if memory[stage] is None:
        memory[stage] = costs.get("peak_memory_mb")
    if notes:
        values["notes"] += notes

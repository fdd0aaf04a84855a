"""Assembles samples from the ledger: one per system, task, prompt and repeat; none is left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from popbench.interfaces.models import is_real
from popbench.keys import clip_name
from popbench.ledger.ledger import StageKey
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView, StageResult
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, SampleSet, System
from popbench.records import JSON, Prompt, Sample
from popbench.runs.costs import CallTotals
from popbench.runs.samples import make_sample
from popbench.runs.win_shares import PENDING, WinShares

_Cost = Callable[[Mapping[str, float]], float | None]
"""Returns the cost in USD of calls with some usage; None if it is not known."""


def collect(plan: Plan, view: LedgerView, errors: ResultErrors, calls: CallTotals | None = None) -> Iterator[Sample]:
    """Return the samples of a plan's systems, by system, task, prompt and repeat; none is left out.

    `errors` says why samples have no result; the others without a result are pending. `calls` adds up what generators
    and predictors took. What comparisons of pairs came to is in `plan.compared` from then on.
    """
    comparers = plan.comparers if plan.config.stop_after is None else []
    shares = {part.label: WinShares(plan, part, view, errors, calls) for part in comparers}
    plan.compared = {label: of.about for label, of in shares.items()}
    return _samples(plan, shares, view, errors, calls)


def _samples(
    plan: Plan, shares: Mapping[str, WinShares], view: LedgerView, errors: ResultErrors, calls: CallTotals | None
) -> Iterator[Sample]:
    for system, samples in plan.system_samples():
        if system is not None or plan.config.stop_after is None:
            yield from _collect(system, samples, plan.predictors, shares, plan.config.stop_after, view, errors, calls)


def _collect(
    system: System | None,
    samples: SampleSet,
    predictors: Sequence[Part],
    shares: Mapping[str, WinShares],
    stop_after: str | None,
    view: LedgerView,
    errors: ResultErrors,
    calls: CallTotals | None,
) -> Iterator[Sample]:
    """Yield the samples of a system on a task; without a system, those of the human baseline."""
    draft_key, clip_key = samples.stage_keys
    score_keys = [samples.extended(predictor).stage_key("score") for predictor in predictors]
    labels = [predictor.label for predictor in predictors]
    real = {predictor.label for predictor in predictors if is_real(predictor.resolved.component)}
    made_by: dict[str, Any] = {
        "system": samples.method.label if system is None else system.id,
        "llm": None if system is None else system.llm.label,
        "mode": None if system is None else system.mode.label,
        "generator": None if system is None else system.generator.label,
    }

    def why(key: StageKey, prompt: Prompt, repeat: int) -> str:
        return errors.why(key, prompt.id, repeat) or PENDING

    for prompt, repeat, draft, clip, scores in view.results(samples, predictors):
        results = {
            label: score or why(key, prompt, repeat)
            for label, score, key in zip(labels, scores, score_keys, strict=True)
        }
        compared = {label: of.score(made_by["system"], prompt.task, prompt.id, repeat) for label, of in shares.items()}
        if calls is not None:
            if system is not None and clip is not None and stop_after != "write":
                calls.add("generator", system.generator, clip.key, _usage(clip))
            for predictor, score in zip(predictors, scores, strict=True):  # comparisons are added already
                if score is not None and stop_after is None:
                    calls.add("predictor", predictor, score.key, _usage(score))
        fields = assemble(
            draft or why(draft_key, prompt, repeat),
            clip or why(clip_key, prompt, repeat),
            results | compared,
            human=system is None,
            cost=_no_cost if system is None else system.llm.cost,
            clip_cost=_no_cost if system is None else system.generator.cost,
            score_costs={predictor.label: predictor.cost for predictor in predictors},
            stop_after=stop_after,
            real=real,
        )
        yield make_sample(
            {
                **made_by,
                "task": prompt.task,
                "prompt_id": prompt.id,
                "prompt": prompt.text,
                "category": prompt.category,
                "repeat": repeat,
                **fields,
                "extra": {**prompt.extra, **fields.get("extra", {})},
            }
        )


def _no_cost(usage: Mapping[str, float]) -> float | None:  # noqa: ARG001 - the human baseline writes no drafts
    return None


def assemble(
    draft: StageResult | str,
    clip: StageResult | str,
    scores: Mapping[str, StageResult | str],
    *,
    human: bool = False,
    cost: _Cost = _no_cost,
    clip_cost: _Cost = _no_cost,
    score_costs: Mapping[str, _Cost] = {},
    stop_after: str | None = None,
    real: Collection[str] = (),
) -> dict[str, Any]:
    """Return the fields of a sample that come from its stages; `scores` are by predictor.

    A stage without a result is given as the reason for that. `human` says that the draft is a match of the human
    baseline. `real` are the predictors with a real scale: they have no score that stands for an invalid sample.
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
        values["scores"] = {label: None if label in real else 0.0 for label in scores}
        values["popularity"] = next(iter(values["scores"].values()), 0.0)
    elif values["status"] == "ok" and stop_after is None:
        _add_scores(values, scores, real)
    values["notes"] = tuple(values["notes"])
    rendered = "" if stop_after == "write" else clip
    values["costs"] = _costs(values.get("cost"), rendered, {} if stop_after else scores, clip_cost, score_costs)
    return values


def _costs(
    draft: float | None,
    clip: StageResult | str,
    scores: Mapping[str, StageResult | str],
    clip_cost: _Cost,
    score_costs: Mapping[str, _Cost],
) -> dict[str, float | None]:
    """Return what the stages cost; nothing if neither the generator nor a predictor says what it took."""
    took = {label: usage for label, score in scores.items() if (usage := _usage(score))}
    rendered = _usage(clip)
    if not (rendered or took):
        return {}
    predicted = [score_costs.get(label, _no_cost)(usage) for label, usage in took.items()]
    known = [usd for usd in predicted if usd is not None]
    return {
        "llm": draft,
        "generate": clip_cost(rendered) if rendered else None,
        "predict": sum(known) if known and len(known) == len(predicted) else None,
    }


def _usage(result: StageResult | str) -> Mapping[str, float]:
    return {} if isinstance(result, str) else result.payload.get("usage") or {}


def _add_match(values: dict[str, Any], draft: StageResult | str) -> None:
    """Add a human-made video, or why there is none: it has a title and no video prompt."""
    if isinstance(draft, str):
        values |= {"status": "error", "error": draft}
        return
    values |= {"status": draft.status, "title": draft.value["title"], "match": draft.value["match"]}


def _add_draft(values: dict[str, Any], cost: _Cost, draft: StageResult | str) -> None:
    """Add a draft, or why there is none."""
    if isinstance(draft, str):
        values |= {"status": "error", "error": draft}
        return
    value, payload = draft.value, draft.payload
    values |= {
        "status": draft.status,
        "error": value.get("error"),
        "completion": payload.get("text"),
        "reasoning": value.get("reasoning", payload.get("reasoning")),
        "attempts": value["attempts"],
        "references": tuple(value["references"]),
        "usage": value.get("usage"),
        "cost": cost(value["usage"]) if value.get("usage") else None,
        "unusable": tuple(value.get("unusable") or ()),
        "remarks": tuple(value.get("remarks") or ()),
        "uncounted": value.get("uncounted") or 0,
    }
    _add_costs(values, "llm", value)
    if draft.ok:
        breaches = value["breaches"]
        values |= {
            "title": value["title"],
            "video_prompt": value["video_prompt"],
            "compliance": not breaches,
            "originality": value.get("originality"),
        }
        values["notes"] += breaches
        if value.get("extra"):
            values["extra"] = value["extra"]


def _add_clip(values: dict[str, Any], clip: StageResult | str) -> None:
    """Add a clip, or why there is none."""
    if isinstance(clip, str):
        values |= {"status": "error", "error": clip}
        return
    values |= {"status": clip.status, "error": clip.value.get("error")}
    if clip.ok:
        values |= {"video": f"videos/{clip_name(clip.key)}", "video_sha256": str(clip.payload["sha256"])}
    _add_costs(values, "generate", clip.payload)


def _add_scores(values: dict[str, Any], scores: Mapping[str, StageResult | str], real: Collection[str]) -> None:
    """Add every predictor's score, None if it is missing; of a sample that it finds invalid 0, or None if it is `real`.

    While one is missing the sample is in error; otherwise its status and popularity are the first predictor's.
    """
    parts: dict[str, Mapping[str, float]] = {}
    for label, score in scores.items():
        if not isinstance(score, str):
            values["scores"][label] = score.payload["popularity"] if score.ok else None if label in real else 0.0
            if score.payload.get("parts"):
                parts[label] = score.payload["parts"]
            _add_costs(values, "predict", score.payload)
    if parts:
        values["parts"] = parts
    missing = [score for score in scores.values() if isinstance(score, str)]
    first = next(iter(scores.values()))
    if missing:
        values |= {"status": "error", "error": missing[0]}
    elif not isinstance(first, str):
        values |= {"status": first.status, "error": first.value.get("error")}
        values["popularity"] = next(iter(values["scores"].values()))


def _add_costs(values: dict[str, Any], stage: str, costs: Mapping[str, JSON]) -> None:
    """Add the cost of a stage; of several predictors, time and memory of the first, and the notes of all."""
    seconds, memory, notes = values["seconds"], values["peak_memory_mb"], costs.get("notes")
    if seconds[stage] is None:
        seconds[stage] = costs.get("seconds")
    if memory[stage] is None:
        memory[stage] = costs.get("peak_memory_mb")
    if notes:
        values["notes"] += notes

"""Compares samples.jsonl and run.json with the run's ledger, to find what was changed by hand.

The components are not needed: the fingerprints in run.json are the ledger's keys, so a changed fingerprint finds no
rows. A ledger that was written by hand is not detected.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from popbench.errors import UsageError
from popbench.interfaces.uses import used_values
from popbench.keys import used_key
from popbench.ledger.ledger import Ledger, StageKey, StageName
from popbench.pipeline.ledger_view import StageResult
from popbench.planning.human import NAME as HUMAN
from popbench.planning.systems import made_by
from popbench.records import JSON, Prompt, Sample
from popbench.registry import load_registry
from popbench.runs.collect import assemble
from popbench.runs.made_by import digests, fingerprint_of, harness_of, makers, mode_of
from popbench.runs.run_json import RunJson, uses_of
from popbench.runs.samples import make_sample, prompt_of
from popbench.specs import parse_spec
from popbench.tasks.task import task_hash
from popbench.text import counted

At = tuple[str, int]
"""Prompt id and repeat of a sample."""
_AGAIN = "give the run's command again, which writes its files anew"
_MISSING = "not in the ledger"
_COMPARED = (
    "status", "popularity", "scores", "title", "video_prompt", "video_sha256", "compliance", "originality", "attempts",
    "usage", "match", "unusable", "remarks", "uncounted", "parts", "extra",
)  # fmt: skip


def contradictions(run_json: RunJson, ledger: Ledger) -> Iterator[str]:
    """Yield a line for each contradiction within run.json, or between it and the ledger."""
    identity = json.loads(ledger.about("identity") or "{}")
    tasks = {name: task["hash"] for name, task in run_json["tasks"].items()}
    if identity != {"tasks": tasks, "seed": run_json["config"]["seed"]}:
        yield f"run.json names other tasks or another seed than the ledger: it was changed by hand; {_AGAIN}"
    parts, harness = digests(run_json), harness_of(run_json)
    for name, recorded_fingerprint in sorted(run_json["predictors"].items()):
        if parts.get(f"predictor {name}") != recorded_fingerprint:
            yield f"run.json: predictor {name!r} has another fingerprint than its digest says: {_AGAIN}"
    if not run_json["demo"]:
        yield from (f"run.json says that it is no demo run, and {name} is a demonstration" for name in _demos(run_json))
    for system, by_task in sorted(run_json["systems"].items()):
        for task, recorded_fingerprint in sorted(by_task.items()):
            if recorded_fingerprint != fingerprint_of(run_json, parts, system, task, harness):
                yield f"run.json: the parts of system {system!r} are others than its fingerprint says: {_AGAIN}"
                break


def _demos(run_json: RunJson) -> Iterator[str]:
    """Yield the predictors and corpora that are demonstrations, as far as they are installed here."""
    for name, part in sorted(run_json["components"].items()):
        kind = name.partition(" ")[0]
        if kind in ("predictor", "corpus"):
            with suppress(UsageError):
                if load_registry().find(kind, parse_spec(part["spec"])[0]).load().demo:
                    yield name


def other_prompts(run_json: RunJson, samples: Sequence[Sample], task: str) -> str | None:
    """Return a line if a complete run's prompts or categories are not those that the task's hash was made of."""
    of_task = run_json["tasks"][task]
    if "version" not in of_task or "draft" not in of_task:
        return (
            f"run.json is of an older popbench, which does not say what the hash of task {task!r} is made of: {_AGAIN}"
        )
    prompts: dict[str, Prompt] = {}
    for sample in samples:
        if sample.task == task:
            prompt = _prompt_of(run_json, sample)
            if prompts.setdefault(prompt.id, prompt) != prompt:
                return f"samples.jsonl has two texts or categories for prompt {prompt.id!r} of task {task!r}: {_AGAIN}"
    if task_hash(task, of_task["version"], prompts.values(), of_task["draft"]) != of_task["hash"]:
        return f"samples.jsonl: the prompts or categories of task {task!r} do not match its hash: {_AGAIN}"
    return None


def edited(run_json: RunJson, ledger: Ledger, samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a line for each field in which samples differ from the ledger, with the first of these samples."""
    differences: dict[str, list[str]] = {}
    recorded_samples: dict[tuple[str, str], Mapping[At, Sample]] = {}
    for sample in samples:
        of = (sample.system, sample.task)
        if of not in recorded_samples:
            of_system = [other for other in samples if (other.system, other.task) == of]
            recorded_samples[of] = _best(run_json, ledger, *of, of_system)
        for field, why in _differences(recorded_samples[of].get((sample.prompt_id, sample.repeat)), sample):
            differences.setdefault(field, []).append(f"{_place(sample)}: {why}")
    for field, samples_with in differences.items():
        more = f" ({counted(len(samples_with), 'sample')})" if len(samples_with) > 1 else ""
        yield f"samples.jsonl does not match the ledger in {field}{more}: {samples_with[0]}"


def _place(sample: Sample) -> str:
    repeat = f" repeat {sample.repeat}" if sample.repeat else ""
    return f"system {sample.system!r}, {sample.task}/{sample.prompt_id}{repeat}"


def _differences(in_ledger: Sample | None, sample: Sample) -> Iterator[tuple[str, str]]:
    if in_ledger is None and sample.status == "error":
        return  # without a draft, the ledger holds nothing; that it has no result is told apart
    if in_ledger is None:
        yield "prompts", "the ledger holds nothing of it (or another version of popbench made it: " + _AGAIN + ")"
        return
    for field in _COMPARED:
        value, ledger_value = (_plain(getattr(either, field)) for either in (sample, in_ledger))
        if value != ledger_value:
            yield field, f"it says {_short(value)}, the ledger {_short(ledger_value)}"


def _plain(value: JSON) -> JSON:
    return dict(value) if isinstance(value, Mapping) else value


def _short(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _best(run_json: RunJson, ledger: Ledger, system: str, task: str, samples: Sequence[Sample]) -> Mapping[At, Sample]:
    """Return a system's samples on a task as the ledger has them.

    The human baseline's key depends on the folder of its corpus, which only the corpus knows. So of all matchings in
    the ledger, the one that fits `samples` best is returned.
    """
    mode = mode_of(run_json, system, task)
    prompts = {sample.prompt_id: _prompt_of(run_json, sample) for sample in samples}
    if mode is not None:
        return recorded(run_json, ledger, system, task, mode, prompts)
    made = made_by(digests(run_json).get(f"baseline {HUMAN}", ""), rendered=False, harness=harness_of(run_json))
    matchings = [
        recorded(run_json, ledger, system, task, mode, prompts)
        for mode in ledger.modes(made, run_json["tasks"][task]["hash"])
    ]

    def agree(matching: Mapping[At, Sample]) -> int:
        return sum(
            not list(_differences(matching.get((sample.prompt_id, sample.repeat)), sample)) for sample in samples
        )

    return max(matchings, key=agree, default={})


def recorded(
    run_json: RunJson, ledger: Ledger, system: str, task: str, mode: str, prompts: Mapping[str, Prompt]
) -> dict[At, Sample]:
    """Return the samples of a system on a task for `prompts`, by prompt and repeat; `mode` is its fingerprint.

    They have the fields that are compared; their costs are not looked up.
    """
    parts = digests(run_json)
    llm, generator = makers(system)
    chain = (parts.get(llm, ""), parts.get(generator, ""))
    where = _Where(ledger, run_json["tasks"][task]["hash"], mode, harness_of(run_json))
    drafts = ledger.done(_cell(where, "write", chain[0]))
    clips = _settled(where, "render", *chain)
    predictors = {
        name: (predictor, uses_of(run_json, name), _settled(where, "score", *chain, predictor))
        for name, predictor in run_json["predictors"].items()
    }
    samples = {}
    for sample_id, draft in drafts.items():
        clip, prompt = clips.get(sample_id), prompts.get(sample_id[0])
        if prompt is None:
            continue
        scores: dict[str, StageResult | str] = dict.fromkeys(predictors, _MISSING)
        if draft.status == "ok" and clip is not None and clip.ok:
            for name, (predictor, uses, settled) in predictors.items():
                score = settled.get(sample_id)
                used = used_values(uses, prompt, draft.value, str(clip.payload["sha256"]))
                if score is not None and score.key == used_key(predictor, used):
                    scores[name] = score
        fields = assemble(
            StageResult(draft.status, draft.value, draft.key, {}), clip or _MISSING, scores, human=system == HUMAN,
            real=run_json.get("scales") or (),
        )  # fmt: skip
        samples[sample_id] = make_sample(
            {
                "system": system,
                "task": task,
                "prompt_id": sample_id[0],
                "repeat": sample_id[1],
                **fields,
                "extra": {**prompt.extra, **fields.get("extra", {})},
            }
        )
    return samples


def _prompt_of(run_json: RunJson, sample: Sample) -> Prompt:
    """Return the prompt of a sample, with the further columns that run.json names."""
    columns = run_json["tasks"][sample.task].get("extra", [])
    return prompt_of(sample, {name: sample.extra.get(name) for name in columns})


class _Where(NamedTuple):
    """Where the ledger holds a task's results in a mode; `harness` are the versions that they were made with."""

    ledger: Ledger
    task: str
    mode: str
    harness: Mapping[str, int]


def _settled(where: _Where, stage: StageName, *parts: str) -> dict[At, StageResult]:
    """Return the results of a stage. A result counts only if its call still has the status that was settled."""
    cell = _cell(where, stage, *parts)
    done = where.ledger.done(cell)
    return {
        at: StageResult(call.status, done[at].value, call.key, call.payload)
        for at, call in where.ledger.calls(cell)
        if call.status == done[at].status
    }


def _cell(where: _Where, stage: StageName, *parts: str) -> StageKey:
    made = made_by(*parts, rendered=stage != "write", harness=where.harness)
    return StageKey(made, where.task, where.mode, stage)

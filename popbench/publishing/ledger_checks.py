"""What a run's ledger has of its samples, and where samples.jsonl and run.json say otherwise.

It is read without the components that took part: their fingerprints in run.json name the ledger's cells, so that a
changed fingerprint finds nothing. Who writes a ledger by hand is not found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from popbench.errors import UsageError
from popbench.keys import digest, score_key
from popbench.ledger.ledger import Ledger, StageKey, StageName
from popbench.pipeline.ledger_view import StageResult
from popbench.planning.human import NAME as HUMAN
from popbench.planning.systems import made_by
from popbench.records import JSON, Prompt, Sample
from popbench.registry import load_registry
from popbench.runs.collect import assemble
from popbench.runs.run_json import RunJson
from popbench.runs.samples import make_sample
from popbench.specs import parse_spec
from popbench.tasks.task import task_hash
from popbench.text import counted

At = tuple[str, int]
"""Prompt id and repeat of a sample."""

_AGAIN = "give the run's command again, which writes its files anew"
_MISSING = "not in the ledger"
_COMPARED = (
    "status", "popularity", "scores", "title", "video_prompt", "video_sha256", "compliance", "originality", "attempts",
    "usage", "match",
)  # fmt: skip


def contradictions(run_json: RunJson, ledger: Ledger) -> Iterator[str]:
    """Say where run.json contradicts itself or the ledger: tasks, seed, and what systems and predictors are made of."""
    known = json.loads(ledger.about("identity") or "{}")
    tasks = {name: task["hash"] for name, task in run_json["tasks"].items()}
    if known != {"tasks": tasks, "seed": run_json["config"]["seed"]}:
        yield f"run.json names other tasks or another seed than the ledger: it was changed by hand; {_AGAIN}"
    parts = _digests(run_json)
    for name, found in sorted(run_json["predictors"].items()):
        if parts.get(f"predictor {name}") != found:
            yield f"run.json: predictor {name!r} has another fingerprint than its digest says: {_AGAIN}"
    if not run_json["demo"]:
        yield from (f"run.json says that it is no demo run, and {name} is a demonstration" for name in _demos(run_json))
    for system, by_task in sorted(run_json["systems"].items()):
        for task, found in sorted(by_task.items()):
            if found != _fingerprint(run_json, parts, system, task):
                yield f"run.json: the parts of system {system!r} are others than its fingerprint says: {_AGAIN}"
                break


def _demos(run_json: RunJson) -> Iterator[str]:
    """Name the predictors and corpora that are demonstrations, as far as they are installed here."""
    for name, part in sorted(run_json["components"].items()):
        kind = name.partition(" ")[0]
        if kind in ("predictor", "corpus"):
            with suppress(UsageError):
                if load_registry().find(kind, parse_spec(part["spec"])[0]).load().demo:
                    yield name


def other_prompts(run_json: RunJson, samples: Sequence[Sample], task: str) -> str | None:
    """Say that the prompts and categories of a complete run are not those that the task's hash was made of."""
    of_task = run_json["tasks"][task]
    if "version" not in of_task or "draft" not in of_task:
        return (
            f"run.json is of an older popbench, which does not say what the hash of task {task!r} is made of: {_AGAIN}"
        )
    prompts: dict[str, Prompt] = {}
    for sample in samples:
        if sample.task == task:
            prompt = Prompt(sample.prompt_id, sample.prompt, sample.category, task)
            if prompts.setdefault(prompt.id, prompt) != prompt:
                return f"samples.jsonl has two texts or categories for prompt {prompt.id!r} of task {task!r}: {_AGAIN}"
    if task_hash(task, of_task["version"], prompts.values(), of_task["draft"]) != of_task["hash"]:
        return f"samples.jsonl: the prompts or categories of task {task!r} do not match its hash: {_AGAIN}"
    return None


def edited(run_json: RunJson, ledger: Ledger, samples: Sequence[Sample]) -> Iterator[str]:
    """Say which fields of samples are not as the ledger has them, one line for each field, with the first place."""
    differences: dict[str, list[str]] = {}
    cells: dict[tuple[str, str], Mapping[At, Sample]] = {}
    for sample in samples:
        of = (sample.system, sample.task)
        if of not in cells:
            there = [at for at in samples if (at.system, at.task) == of]
            cells[of] = _best(run_json, ledger, *of, there)
        for field, why in _differences(cells[of].get((sample.prompt_id, sample.repeat)), sample):
            differences.setdefault(field, []).append(f"{_place(sample)}: {why}")
    for field, places in differences.items():
        more = f" ({counted(len(places), 'sample')})" if len(places) > 1 else ""
        yield f"samples.jsonl does not match the ledger in {field}{more}: {places[0]}"


def _place(sample: Sample) -> str:
    repeat = f" repeat {sample.repeat}" if sample.repeat else ""
    return f"system {sample.system!r}, {sample.task}/{sample.prompt_id}{repeat}"


def _differences(known: Sample | None, sample: Sample) -> Iterator[tuple[str, str]]:
    if known is None:
        yield "prompts", "the ledger holds nothing of it (or another version of popbench made it: " + _AGAIN + ")"
        return
    for field in _COMPARED:
        value, in_ledger = (_plain(getattr(either, field)) for either in (sample, known))
        if value != in_ledger:
            yield field, f"it says {_short(value)}, the ledger {_short(in_ledger)}"


def _plain(value: JSON) -> JSON:
    return dict(value) if isinstance(value, Mapping) else value


def _short(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _best(run_json: RunJson, ledger: Ledger, system: str, task: str, samples: Sequence[Sample]) -> Mapping[At, Sample]:
    """Read what the ledger has of a system on a task.

    The human baseline is filed by the folder that its corpus was read from, which only the corpus knows: there the
    samples are believed that any of these matchings has.
    """
    mode = _mode(run_json, system, task)
    if mode is not None:
        return recorded(run_json, ledger, system, task, mode)
    human = _digests(run_json).get(f"baseline {HUMAN}", "")
    found = [
        recorded(run_json, ledger, system, task, mode)
        for mode in ledger.modes(made_by(human, rendered=False), run_json["tasks"][task]["hash"])
    ]

    def agree(cell: Mapping[At, Sample]) -> int:
        return sum(not list(_differences(cell.get((sample.prompt_id, sample.repeat)), sample)) for sample in samples)

    return max(found, key=agree, default={})


def recorded(run_json: RunJson, ledger: Ledger, system: str, task: str, mode: str) -> dict[At, Sample]:
    """Return the samples of a system on a task, by prompt and repeat; `mode` is its fingerprint.

    They have the fields that are compared; their prompts and their costs are not looked up.
    """
    parts = _digests(run_json)
    llm, generator = makers(system)
    chain = (parts.get(llm, ""), parts.get(generator, ""))
    where = (ledger, run_json["tasks"][task]["hash"], mode)
    drafts = ledger.done(_cell(where, "write", chain[0]))
    clips = _settled(where, "render", *chain)
    predictors = {
        name: (predictor, _settled(where, "score", *chain, predictor))
        for name, predictor in run_json["predictors"].items()
    }
    samples = {}
    for at, draft in drafts.items():
        clip = clips.get(at)
        scores: dict[str, StageResult | str] = dict.fromkeys(predictors, _MISSING)
        if draft.status == "ok" and clip is not None and clip.ok:
            for name, (predictor, settled) in predictors.items():
                score = settled.get(at)
                key = score_key(predictor, draft.value["title"], str(clip.payload["sha256"]))
                if score is not None and score.key == key:
                    scores[name] = score
        fields = assemble(
            StageResult(draft.status, draft.value, draft.key, {}), clip or _MISSING, scores, human=system == HUMAN
        )
        samples[at] = make_sample({"system": system, "task": task, "prompt_id": at[0], "repeat": at[1], **fields})
    return samples


def _settled(where: tuple[Ledger, str, str], stage: StageName, *digests: str) -> dict[At, StageResult]:
    """Return what is settled of a stage of a cell; a call that has come out otherwise since settles nothing."""
    cell = _cell(where, stage, *digests)
    done = where[0].done(cell)
    return {
        at: StageResult(call.status, done[at].value, call.key, call.payload)
        for at, call in where[0].calls(cell)
        if call.status == done[at].status
    }


def _cell(where: tuple[Ledger, str, str], stage: StageName, *digests: str) -> StageKey:
    _, task, mode = where
    return StageKey(made_by(*digests, rendered=stage != "write"), task, mode, stage)


def _digests(run_json: RunJson) -> dict[str, str]:
    return {name: digest(part["fingerprint"]) for name, part in run_json["components"].items()}


def makers(system: str) -> tuple[str, str]:
    """Name the components that make a system, as run.json does."""
    if system == HUMAN:
        return f"baseline {HUMAN}", f"baseline {HUMAN}"
    llm, _, generator = system.split("|")
    return f"llm {llm}", f"generator {generator}"


def _mode(run_json: RunJson, system: str, task: str) -> str | None:
    if system == HUMAN:
        return None
    fingerprint: str = run_json["modes"][system.split("|")[1]]["fingerprints"][task]
    return fingerprint


def _fingerprint(run_json: RunJson, parts: Mapping[str, str], system: str, task: str) -> str:
    llm, generator = (parts.get(name, "") for name in makers(system))
    mode = _mode(run_json, system, task)
    return llm if mode is None else digest(made_by(llm, generator, rendered=True), mode)

"""What will be made again because a label stands for another component, or another mode, than it did in this run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from popbench.errors import UsageError
from popbench.keys import digest
from popbench.ledger.ledger import Ledger, StageName
from popbench.planning.pairs import PairSet
from popbench.planning.plan import Plan
from popbench.planning.systems import EARLIER_HARNESSES, HARNESS, Part, SampleSet, made_by
from popbench.runs.differences import changes
from popbench.runs.run_json import RunJson, read_run_json
from popbench.text import counted

_MADE: Mapping[StageName, str] = {"write": "draft", "render": "clip", "score": "score"}


def upgrades(plan: Plan, path: Path) -> list[str]:
    """Return a line for each label whose results in the run directory `path` do not count any more.

    An upgrade of a plugin or another template does that: `vp: version 1.0.0 → 1.0.1: 10 drafts are made again`. Of
    labels that changed together, each names the results that would be kept if it alone had not.
    """
    try:
        earlier = read_run_json(path)
    except UsageError:
        return []  # there is no run.json, or it is damaged and is written again
    ledger = Ledger.peek(path / "ledger.sqlite")
    if ledger is None:
        return []
    try:
        return list(_lines(plan, earlier, ledger))
    finally:
        ledger.close()


def earlier_part(part: Part, run_json: RunJson) -> Part | None:
    """Return a component as it was under its label in an earlier command; None if it was not there, or the same."""
    entry = run_json["components"].get(f"{part.resolved.spec.kind} {part.label}")
    if entry is None or digest(entry["fingerprint"]) == part.digest:
        return None
    return replace(part, fingerprint=entry["fingerprint"], digest=digest(entry["fingerprint"]))


def _lines(plan: Plan, earlier: RunJson, ledger: Ledger) -> Iterator[str]:
    for stage in plan.stages:
        work: list[tuple[Part, Sequence[SampleSet]]] = list(plan.stage_samples(stage))
        compared = plan.comparers if stage == "score" else ()
        work += [(part, [pair.samples for pair in plan.comparisons(part)]) for part in compared]
        for part, sample_sets in work:
            before = earlier_part(part, earlier)
            if before is not None:
                why = changes(before.fingerprint, part.fingerprint)
                if jobs := ledger.in_flight().get(before.digest, 0):
                    yield f"{part.label}: {why}: {counted(jobs, 'submitted job')} will not be asked about any more"
                sets = [replace(samples, parts=(*samples.parts[:-1], before)) for samples in sample_sets]
                yield from _line(f"{part.label}: {why}", stage, sets, ledger)
    for mode in plan.modes:
        was = earlier["modes"].get(mode.label)
        methods = [
            (method, was["fingerprints"].get(task))
            for (task, label), method in plan.task_modes.items()
            if was is not None and label == mode.label
        ]
        sets = [
            plan.sample_set(replace(method, fingerprint=fingerprint), llm)
            for method, fingerprint in methods
            if fingerprint is not None and fingerprint != method.fingerprint
            for llm in plan.llms
        ]
        if was is not None and sets:
            code = next((part for part in plan.writers if part.label == mode.label), None)
            before = None if code is None else earlier_part(code, earlier)
            what = changes(was["options"], mode.options)
            if not what and code is not None and before is not None:
                what = changes(before.fingerprint, code.fingerprint)
            what = what or "another template, corpus or embedder"
            yield from _line(f"mode {mode.label}: {what}", "write", sets, ledger)


def _line(what: str, stage: StageName, sample_sets: Iterable[SampleSet], ledger: Ledger) -> Iterator[str]:
    """Yield a line if there are results of some samples, which count no more."""
    made = 0
    for samples in sample_sets:
        prompts = {prompt.id for prompt in samples.prompts}
        made += sum(prompt in prompts and repeat < samples.repeats for prompt, repeat in _places(samples, ledger))
    if made:
        yield f"{what}: {counted(made, _MADE[stage])} of this run {'is' if made == 1 else 'are'} made again"


def _places(samples: SampleSet, ledger: Ledger) -> set[tuple[str, int]]:
    """Return prompt id and repeat of the results of samples, also of those that an earlier popbench stored."""
    key, digests = samples.stage_keys[-1], [part.digest for part in samples.parts]
    if isinstance(samples, PairSet):
        return ledger.places(key)
    harnesses = (HARNESS, *EARLIER_HARNESSES)
    systems = [made_by(*digests, rendered=len(digests) > 1, harness=harness) for harness in harnesses]
    return set[tuple[str, int]]().union(*(ledger.places(replace(key, system=system)) for system in systems))

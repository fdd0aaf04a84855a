"""Checks a run before it is published."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from popbench.credentials import names_credential
from popbench.errors import PopbenchError, UsageError, damage, one_line, unknown
from popbench.files import read_json, sha256
from popbench.leaderboard.results import compute
from popbench.ledger.ledger import Ledger
from popbench.publishing import ledger_checks
from popbench.records import JSON, Sample
from popbench.runs.directory import check_free
from popbench.runs.run_json import RunJson, read_finished, scale_of
from popbench.runs.samples import read_jsonl
from popbench.scores.board_rules import Predictor, Rules, TaskRule, Terms
from popbench.scores.run_scores import from_samples
from popbench.text import counted

_COMPUTED = ("demo", "tasks", "predictors", "systems", "pairs", "enhancement")
_OPTIONAL = (
    "unusable",
    "parts",
)
_NEAR = 1e-6
"""Relative difference in a statistic that another machine's linear algebra may cause."""


@dataclass(frozen=True)
class PublishedRun:
    """The run.json and the samples of a run."""

    path: Path
    run_json: RunJson
    samples: Sequence[Sample]
    whole: bool = True
    """Whether these are all samples of the run."""

    @property
    def systems(self) -> list[str]:
        """The systems of its samples, sorted."""
        return sorted({sample.system for sample in self.samples})


def read_run(path: Path) -> PublishedRun:
    """Read a finished run; raises UsageError if it is not finished, is damaged, or is in use."""
    if not path.is_dir():
        raise UsageError(
            f"{path}: not a run directory: only runs can be published, for their ledger shows what was run"
        )
    run_json = read_finished(path)
    check_free(path)
    samples = [
        replace(
            sample, completion=None if sample.completion is None else "", reasoning=None
        )  # the longest, and not used
        for sample in read_jsonl(path / "samples.jsonl")
    ]
    if not samples and run_json["config"].get("shard"):
        raise UsageError(f"{path}: this shard has no prompts: merge the shards first (popbench merge)")
    if not samples:
        raise UsageError(f"{path}: samples.jsonl is empty: give the run's command again")
    for sample in samples:
        if sample.task not in run_json["systems"].get(sample.system, {}):
            where = f"system {sample.system!r:.100} and task {sample.task!r:.100}"
            raise UsageError(f"{path}: samples.jsonl has {where}, run.json has not: give the run's command again")
    return PublishedRun(path, run_json, samples)


@contextmanager
def damage_as_usage_error(run: PublishedRun) -> Iterator[None]:
    """Turn the errors of a run.json whose entries do not fit its samples into a UsageError."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(f"{run.path}: run.json cannot be read ({damage(error)})") from error


def chosen(run: PublishedRun, systems: Sequence[str], tasks: Sequence[str]) -> PublishedRun:
    """Restrict a run to some systems and tasks; empty means all. Raises UsageError for a system that it lacks."""
    for system in systems:
        if system not in run.systems:
            raise UsageError(f"{run.path}: {unknown('system', system, run.systems)}")
    kept = [
        sample
        for sample in run.samples
        if (not systems or sample.system in systems) and (not tasks or sample.task in tasks)
    ]
    return PublishedRun(run.path, run.run_json, kept, run.whole and len(kept) == len(run.samples))


def rules_of(run: PublishedRun, title: str, description: str, predictor: str | None) -> Rules:
    """Return the rules of a new board for a run; `predictor` is the label of one of its predictors."""
    run_json = run.run_json
    names = list(run_json["predictors"])
    name = predictor or names[0]
    if name not in names:
        raise unknown(f"predictor of {run.path}", name, names)
    return Rules(
        title=title,
        description=description,
        demo=run_json["demo"],
        predictor=predictor_of(run_json, name).model_copy(update={"card": run_json.get("cards", {}).get(name)}),
        tasks=tasks_of(run_json),
        repeats=run_json["config"]["repeats"],
        seed=run_json["config"]["seed"],
    )


def predictor_of(run_json: RunJson, label: str, name: str | None = None) -> Predictor:
    """Return a predictor of a run, under the name that a board gives it."""
    return Predictor(
        name=name or label,
        digest=run_json["predictors"][label],
        unit=run_json["units"][label],
        scale=scale_of(run_json, label),
    )


def terms_of(run: PublishedRun) -> Terms:
    """Return the terms that a run has to share with a board, with its first predictor."""
    rules = rules_of(run, "run", "", None).model_dump(include=set(Terms.model_fields))
    return Terms.model_validate(rules)


def tasks_of(run_json: RunJson) -> dict[str, TaskRule]:
    """Return the tasks of a run as a board has them."""
    return {
        name: TaskRule(hash=task["hash"], prompts=task["prompts"], group=task["group"])
        for name, task in sorted(run_json["tasks"].items())
    }


def lacking(run: PublishedRun) -> Iterator[str]:
    """Yield a line for each reason why a run is incomplete: prompts left out, samples missing or without a result."""
    run_json, limit, shard = run.run_json, run.run_json["config"].get("limit"), run.run_json["config"].get("shard")
    repeats = run_json["config"]["repeats"]
    counts = Counter((sample.system, sample.task) for sample in run.samples)
    if any(map(names_credential, run.systems)):
        yield "the name of a system holds what looks like a credential, which would be published: run it again without"
    if run_json["config"].get("until") is not None:
        yield (
            "its prompts were taken in rounds (--until), and a board compares all systems on all prompts: give its "
            "command without --until, which adds the prompts that are missing"
        )
        return
    for task in sorted({sample.task for sample in run.samples}):
        n, prompts = run_json["tasks"][task]["n"], run_json["tasks"][task]["prompts"]
        if limit is not None or n < prompts:
            whole = limit is None and shard is not None
            way = "merge the shards first (popbench merge)" if whole else "run it without --limit"
            of = "" if shard is None else f" in this shard ({shard})"
            yield f"only {n:,} of the {prompts:,} prompts of task {task!r} were run{of}: {way}"
        for system in run.systems:
            lost = n * repeats - counts[system, task]
            if lost:
                more = f"lacks {counted(lost, 'sample')}" if lost > 0 else f"has {counted(-lost, 'sample')} too many"
                yield f"samples.jsonl: system {system!r} {more} of task {task!r}: give the run's command again"
    errors = [sample for sample in run.samples if sample.status == "error"]
    if errors:
        first = errors[0]
        yield (
            f"{counted(len(errors), 'sample')} {'has' if len(errors) == 1 else 'have'} no result, such as "
            f"{first.system}, {first.task}/{first.prompt_id} ({one_line(first.error or 'error', 100)}): give the run's "
            "command again, which tries them again"
        )


def changed_by_hand(run: PublishedRun, *, whole: bool) -> Iterator[str]:
    """Yield a line for each difference between a run's files and its ledger; with `whole`, no prompt is missing."""
    try:
        ledger = Ledger.peek(run.path / "ledger.sqlite")
    except PopbenchError as error:
        yield str(error)
        return
    if ledger is None:
        yield "its ledger.sqlite is missing, so nothing shows that its scores are those that were computed"
        return
    try:
        wrong = [
            *ledger_checks.contradictions(run.run_json, ledger),
            *ledger_checks.edited(run.run_json, ledger, run.samples),
        ]
        if whole:
            tasks = sorted({sample.task for sample in run.samples})
            wrong += filter(None, (ledger_checks.other_prompts(run.run_json, run.samples, task) for task in tasks))
    except PopbenchError as error:  # SQLite finds a damaged page only when it reads it
        wrong = [str(error)]
    finally:
        ledger.close()
    yield from wrong


def changed_clips(run: PublishedRun) -> Iterator[str]:
    """Yield a line if clips hold other bytes than were scored; those that were removed are not missed."""
    scored = {sample.video: sample.video_sha256 for sample in run.samples if sample.video is not None}
    changed = []
    for video, wanted in scored.items():
        with suppress(OSError, ValueError):
            if sha256(run.path / "videos" / Path(video).name) != wanted:
                changed.append(Path(video).name)
    if changed:
        yield (
            f"{counted(len(changed), 'clip')} in videos/ of other bytes than were scored, such as {changed[0]}: "
            "remove what was changed, then give the run's command again, which renders and scores it anew"
        )


def other_results(run: PublishedRun) -> str | None:
    """Return a line if results.json is not what a run's samples give; None if it is, or if samples are in error."""
    in_rounds = run.run_json["config"].get("until") is not None  # which is told anyway
    if in_rounds or any(sample.status == "error" for sample in run.samples):
        return None
    again = "give the run's command again, which computes it anew"
    try:
        results = read_json(run.path / "results.json")
        written = {key: results[key] for key in _COMPUTED} | {key: results.get(key) for key in _OPTIONAL}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return f"results.json cannot be read ({damage(error)}): {again}"
    try:
        computed = compute(from_samples(run.samples, run.run_json, str(run.path)))
    except UsageError as error:
        return str(error).removeprefix(f"{run.path}: ")
    for key, value in written.items():
        different = _difference(value, computed.get(key), key)
        if different is not None:
            return (
                f"results.json is not what the samples give: {different} (changed by hand, or written by another "
                f"version of popbench): {again}"
            )
    return None


def _difference(written: JSON, computed: JSON, where: str) -> str | None:
    """Describe the first difference between two JSON values; None if there is none."""
    if isinstance(written, dict) and isinstance(computed, dict) and written.keys() == computed.keys():
        pairs = [(written[key], computed[key], f"{where}.{key}") for key in computed]
    elif isinstance(written, list) and isinstance(computed, list) and len(written) == len(computed):
        pairs = [(one, other, f"{where}[{n}]") for n, (one, other) in enumerate(zip(written, computed, strict=True))]
    elif isinstance(written, dict | list) or isinstance(computed, dict | list):
        return f"{where} has other entries"
    else:
        same = written == computed
        with suppress(TypeError, OverflowError):
            same = same or math.isclose(written, computed, rel_tol=_NEAR)
        return None if same else f"{where} is {json.dumps(written)}, computed {json.dumps(computed)}"
    return next(filter(None, (_difference(*pair) for pair in pairs)), None)

"""run.json: its fields, how it is made, and the one function that reads it. A stranger may have written the file."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, cast

import pydantic
from typing_extensions import TypedDict  # pydantic reads no other TypedDict before Python 3.12

from popbench.cards.card import PredictorCard, checked
from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.interfaces.models import is_real
from popbench.interfaces.uses import DEFAULT_USES, read_uses
from popbench.records import Scale
from popbench.runs.compared import ComparisonsEntry, entries
from popbench.versions import package_versions

if TYPE_CHECKING:  # boards read run.json, and would import for nothing what runs are made with
    from popbench.planning.plan import Plan
    from popbench.tasks.task import Task

FILE = "run.json"
_DEEPEST = 100
"""Levels of nesting at most: readers hash and compare the content by recursion."""


def _check_moment(text: str) -> str:
    try:
        datetime.fromisoformat(text).timestamp()
    except OverflowError as error:
        raise ValueError("a moment beyond all clocks") from error
    return text


Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]
Moment = Annotated[str, pydantic.AfterValidator(_check_moment)]
"""A moment in ISO 8601."""


class RunConfig(TypedDict):
    """The settings of the run, as `EvalConfig.as_json` returns them; settings not listed here may be there too."""

    seed: int
    repeats: Annotated[int, pydantic.Field(ge=1, le=10**9)]
    limit: NotRequired[Count | None]
    shard: NotRequired[str | None]
    stop_after: NotRequired[str | None]
    until: NotRequired[str | None]
    predictor: NotRequired[list[str]]
    corpus: NotRequired[str]
    baseline: NotRequired[list[str]]
    concurrency: NotRequired[int | None]


class TaskEntry(TypedDict):
    """A task: `n` of its `prompts` were run; `version` and `draft` go into its hash with the prompts.

    `extra` names the further columns of its data, if it has any.
    """

    hash: str
    group: str | None
    n: Count
    prompts: Count
    version: NotRequired[Any]
    draft: NotRequired[dict[str, Any]]
    extra: NotRequired[list[str]]


class ModeEntry(TypedDict):
    """A mode: options that decide results, and fingerprints by task of its template and of the whole mode."""

    name: str
    options: dict[str, Any]
    templates: NotRequired[dict[str, str]]
    fingerprints: dict[str, str]


class ReferencesEntry(TypedDict):
    """Where references come from: the part of a corpus, the number of its videos, and the embedder."""

    corpus: str
    part: str
    videos: Count
    embedder: str
    remarks: NotRequired[list[str]]


class ComponentEntry(TypedDict):
    """A component: the spec it was named by, and its fingerprint."""

    spec: str
    fingerprint: dict[str, Any]


class Machine(TypedDict, total=False):
    """The machine that the run worked on."""

    platform: str
    cpus: int | None
    gpus: list[str]


class Timings(TypedDict):
    """When the run started last; the seconds of the work and of the statistics once it is finished."""

    started: Moment
    seconds: NotRequired[float | None]
    statistics_seconds: NotRequired[float]


class RoundsEntry(TypedDict):
    """How prompts are taken in rounds: of what systems, by which predictor, repeats and design, and where that stands.

    `prompts` are those per task that each system has taken, or takes in the round at work.
    """

    systems: dict[str, dict[str, str]]
    predictor: str
    repeats: Annotated[int, pydantic.Field(ge=1, le=10**9)]
    design: dict[str, Any]
    look: Count
    stop: str | None
    prompts: dict[str, Count]


class ShardEntry(TypedDict):
    """What the run.json of a merged run says of each of its shards; `shard` is `I/N`."""

    shard: str
    finished: bool
    machine: Machine
    versions: dict[str, str]
    timings: Timings


class RunJson(TypedDict):
    """The content of a run.json. Fields that later versions add are kept when it is read.

    `modes`, `predictors` (digests), `units`, `scales` (those that are real) and `cards` (of those that have one) are by
    label, and so is `uses`, of the predictors that see others than title and video. `notes` are by the component's
    label, `components` by kind and label ("llm shotlist"), and `systems` has a system's fingerprint by task. `reused`
    has how many calls of each stage were taken from other runs, by these runs' directories. `looks` are the prompts
    per task of earlier boards, which had fewer. `comparisons` is by the label of predictors that compare pairs.
    """

    schema: int
    finished: bool
    demo: bool
    config: RunConfig
    tasks: dict[str, TaskEntry]
    modes: dict[str, ModeEntry]
    notes: dict[str, str]
    references: NotRequired[ReferencesEntry | None]
    components: dict[str, ComponentEntry]
    systems: dict[str, dict[str, str]]
    predictors: dict[str, str]
    units: dict[str, str]
    uses: NotRequired[dict[str, list[str]]]
    scales: NotRequired[dict[str, Literal["real"]]]
    cards: NotRequired[dict[str, PredictorCard]]
    versions: dict[str, str]
    machine: Machine
    timings: Timings
    shards: NotRequired[list[ShardEntry]]
    reused: NotRequired[dict[str, dict[str, Count]]]
    looks: NotRequired[list[dict[str, Count]]]
    rounds: NotRequired[RoundsEntry]
    comparisons: NotRequired[dict[str, ComparisonsEntry]]


_FIELDS = pydantic.TypeAdapter(RunJson)


def describe(plan: Plan, started: float, seconds: Mapping[str, float] | None = None) -> RunJson:
    """Return the content of a plan's run.json.

    `started` is in unix time. `seconds` are the timings of a finished run; without them the run is not finished, and
    the other files in its directory are older than run.json.
    """
    uses = {part.label: sorted(part.uses) for part in plan.predictors if part.uses != DEFAULT_USES}
    content: RunJson = {
        "schema": 1,
        "finished": seconds is not None,
        "demo": plan.demo,
        "config": cast("RunConfig", plan.config.as_json()),
        "tasks": {task.name: _task_entry(task, len(plan.prompts[task.name])) for task in plan.tasks},
        "modes": {
            mode.label: {
                "name": mode.name,
                "options": dict(mode.options),
                "templates": {
                    task.name: template.fingerprint
                    for task in plan.tasks
                    if (template := plan.task_modes[task.name, mode.label].template) is not None
                },
                "fingerprints": {task.name: plan.task_modes[task.name, mode.label].fingerprint for task in plan.tasks},
            }
            for mode in plan.modes
        },
        "notes": plan.notes,
        "references": cast("ReferencesEntry | None", plan.references_about),
        "components": {
            f"{part.resolved.spec.kind} {part.label}": {
                "spec": part.resolved.spec.text,
                "fingerprint": dict(part.fingerprint),
            }
            for part in plan.parts
        },
        "systems": plan.fingerprints,
        "predictors": {part.label: part.digest for part in plan.predictors},
        "units": {part.label: part.resolved.component.unit for part in plan.predictors},
        "versions": {"python": platform.python_version(), **package_versions()},
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "gpus": _gpus()},
        "timings": cast(
            "Timings",
            {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)), **(seconds or {})},
        ),
    }
    if uses:
        content["uses"] = uses
    if plan.rounds is not None:
        content["rounds"] = cast("RoundsEntry", dict(plan.rounds))
    if plan.earlier_looks:
        content["looks"] = [dict(look) for look in plan.earlier_looks]
    real = [part.label for part in plan.predictors if is_real(part.resolved.component)]
    if real:
        content["scales"] = dict.fromkeys(real, "real")
    cards = {part.label: part.card for part in plan.predictors if part.card is not None}
    if cards:
        content["cards"] = cards
    if plan.comparers:
        content["comparisons"] = entries(plan)
    return content


def _task_entry(task: Task, n: int) -> TaskEntry:
    entry: TaskEntry = {
        "hash": task.hash,
        "group": task.group,
        "n": n,
        "prompts": len(task.prompts),
        "version": task.file.version,
        "draft": task.rules,
    }
    if task.file.fields.extra:
        entry["extra"] = task.file.fields.extra
    return entry


def uses_of(run_json: RunJson, predictor: str) -> frozenset[str]:
    """Return what a predictor of a run sees of samples; raises ValueError if run.json names what is not possible."""
    given = run_json.get("uses", {}).get(predictor)
    return DEFAULT_USES if given is None else read_uses(given)


def scale_of(run_json: RunJson, predictor: str) -> Scale:
    """Return the scale of a predictor of the run."""
    return "real" if predictor in (run_json.get("scales") or {}) else "positive"


def _gpus() -> list[str]:
    """Return the names of the GPUs, none where the run has not imported torch: that takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def describe_merged(
    plan: Plan, shards: Sequence[ShardEntry], started: float, seconds: Mapping[str, float] | None = None
) -> RunJson:
    """Return the content of a merged run's run.json, as `describe`, with the machine and the times of its shards."""
    content = describe(plan, started, seconds)
    content["timings"]["started"] = min(shard["timings"]["started"] for shard in shards)
    if seconds is not None:
        content["timings"]["seconds"] = round(sum(shard["timings"].get("seconds") or 0 for shard in shards), 3)
    content["machine"], content["versions"] = shards[0]["machine"], shards[0]["versions"]
    content["shards"] = list(shards)
    return content


def read_run_json(run: Path) -> RunJson:
    """Read the run.json of a run directory, finished or not; raises UsageError if there is none or it is damaged."""
    if not run.is_dir():
        raise UsageError(f"{run}: no such folder: give the directory of a run")
    if not (run / FILE).exists():
        raise UsageError(f"{run}: not a run directory ({FILE} is missing)")
    try:
        content = read_json(run / FILE)
        _FIELDS.validate_python(content, strict=True)
        _check(content)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{run}: {FILE} cannot be read ({damage(error)})") from error
    return cast("RunJson", content)


def read_reused(run: Path) -> Mapping[str, Mapping[str, int]]:
    """Return what earlier commands of a run took from other runs; nothing where run.json cannot be read."""
    try:
        return read_run_json(run).get("reused", {})
    except UsageError:
        return {}


def with_reused(content: RunJson, *reused: Mapping[str, Mapping[str, int]]) -> RunJson:
    """Add to a run.json what commands took from other runs, if they took anything."""
    total: dict[str, Counter[str]] = {}
    for taken in reused:
        for path, calls in taken.items():
            total.setdefault(path, Counter()).update(calls)
    return {**content, "reused": {path: dict(calls) for path, calls in total.items()}} if total else content


def read_finished(run: Path, *, scored: bool = True) -> RunJson:
    """Read the run.json of a finished run, with scores if `scored`; raises UsageError for others and damaged ones."""
    content = read_run_json(run)
    if not content["finished"]:
        raise UsageError(f"{run}: the run was stopped before it was done: give its command again first")
    if scored and (stage := content["config"].get("stop_after")):
        raise UsageError(f"{run}: the run stopped after {stage}, so it has no scores: run it without --stop-after")
    if scored and not content["predictors"]:
        raise UsageError(f"{run}: {FILE} names no predictor")
    if not (run / "samples.jsonl").exists():
        raise UsageError(f"{run}: no finished run here (samples.jsonl is missing): give its command again")
    return content


def _check(content: RunJson) -> None:
    """Raise ValueError where names that lead from one entry to another are missing."""
    values: list[Any] = [content]
    for _ in range(_DEEPEST):
        values = [
            item
            for value in values
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    if values:
        raise ValueError("it is nested too deeply")
    for predictor in content["predictors"]:
        if predictor not in content["units"]:
            raise ValueError(f"the unit of predictor {predictor!r} is missing")
        uses_of(content, predictor)
    for card in content.get("cards", {}).values():
        checked(card)
    for label, mode in content["modes"].items():
        for task in content["tasks"]:
            if task not in mode["fingerprints"]:
                raise ValueError(f"the fingerprint of mode {label!r} for task {task!r} is missing")
    if "popbench" not in content["versions"]:
        raise ValueError("the version of popbench is missing")

"""run.json: what a run writes of itself, and what readers may rely on; anybody may have written it."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from popbench.errors import UsageError, damage
from popbench.files import read_json
from popbench.records import JSON
from popbench.versions import package_versions

if TYPE_CHECKING:  # boards read run.json, and would import for nothing what runs are made with
    from popbench.planning.plan import Plan

Count = Annotated[int, pydantic.Field(ge=0, le=10**9)]


class _Part(pydantic.BaseModel):
    """Types are what they are said to be; more keys may be there."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class _Config(_Part):
    seed: int | None = None
    repeats: Annotated[int, pydantic.Field(ge=1, le=10**9)] = 1
    limit: Count | None = None
    stop_after: str | None = None


class _Task(_Part):
    hash: str
    group: str | None
    n: Count = 0
    prompts: Count | None = None


class _Mode(_Part):
    name: str
    options: dict[str, Any]
    fingerprints: dict[str, str]


class _References(_Part):
    corpus: str
    part: str
    videos: Count
    embedder: str
    remarks: list[str] = []


class _Component(_Part):
    spec: str
    fingerprint: dict[str, Any]


class About(_Part):
    """The content of a run.json; raises pydantic.ValidationError for what is none."""

    finished: bool
    demo: bool
    config: _Config
    tasks: dict[str, _Task]
    modes: dict[str, _Mode]
    notes: dict[str, str]
    references: _References | None = None
    components: dict[str, _Component] = {}
    systems: dict[str, dict[str, str]]
    predictors: dict[str, str]
    units: dict[str, str]
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _names(self) -> About:
        for name in self.predictors:
            if name not in self.units:
                raise ValueError(f"the unit of predictor {name!r} is missing")
        return self


def describe(plan: Plan, started: float, timings: Mapping[str, float] | None = None) -> dict[str, JSON]:
    """Return the content of run.json; without timings the run is not finished, and its files are older than it."""
    return {
        "schema": 1,
        "finished": timings is not None,
        "demo": plan.demo,
        "config": plan.config.as_json(),
        "tasks": {
            task.name: {
                "hash": task.hash,
                "group": task.group,
                "n": len(plan.prompts[task.name]),
                "prompts": len(task.prompts),
                "version": task.file.version,
                "draft": task.rules,
            }
            for task in plan.tasks
        },
        "modes": {
            mode.label: {
                "name": mode.name,
                "options": mode.determining(),
                "templates": {
                    task.name: plan.task_modes[task.name, mode.label].template.fingerprint for task in plan.tasks
                },
                "fingerprints": {task.name: plan.task_modes[task.name, mode.label].fingerprint for task in plan.tasks},
            }
            for mode in plan.modes
        },
        "notes": plan.notes,
        "references": plan.references_about,
        "components": {
            f"{part.resolved.spec.kind} {part.label}": {
                "spec": part.resolved.spec.text,
                "fingerprint": part.fingerprint,
            }
            for part in plan.parts
        },
        "systems": plan.fingerprints,
        "predictors": {part.label: part.digest for part in plan.predictors},
        "units": {part.label: part.resolved.component.unit for part in plan.predictors},
        "versions": {"python": platform.python_version(), **package_versions()},
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "gpus": _gpus()},
        "timings": {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)), **(timings or {})},
    }


def _gpus() -> list[str]:
    """Name the GPUs if this run had use for torch; asking is not worth importing it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def read_about(run: Path) -> dict[str, JSON]:
    """Read the run.json of a finished run; raises UsageError for a run without scores, and for one that is damaged."""
    missing = [name for name in ("run.json", "samples.jsonl") if not (run / name).exists()]
    if len(missing) == 1:
        raise UsageError(f"{run}: no finished run here ({missing[0]} is missing): give its command again")
    if missing:
        raise UsageError(
            f"{run}: no finished run here (run.json and samples.jsonl are missing), and no exported scores"
        )
    try:
        about: dict[str, JSON] = read_json(run / "run.json")
        if not about["finished"]:
            raise UsageError(f"{run}: the run was stopped before it was done: give its command again first")
        if about["config"].get("stop_after"):
            raise UsageError(f"{run}: the run stopped after {about['config']['stop_after']}: it has no scores")
        if not about["predictors"]:
            raise UsageError(f"{run}: run.json names no predictor")
        About.model_validate(about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{run}: run.json cannot be read ({damage(error)})") from error
    return about

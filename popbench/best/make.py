"""Carries out `popbench best`: writes, renders and scores drafts of an idea, and renders them again if asked to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from popbench.best.drafts import share_drafts
from popbench.best.idea import FILE, check_folder, folder_name, idea_task, read_idea, write_task
from popbench.best.outcome import Outcome, read_outcome
from popbench.best.write import remove_result, write_result
from popbench.errors import UsageError
from popbench.evaluation.evaluate import execute
from popbench.planning.config import DEFAULT_LLM, DEFAULT_LLMS, EvalConfig, resolve_config
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.progress import Progress
from popbench.runs.directory import RUNS, RunDirectory, check_free
from popbench.runs.run import Run
from popbench.tasks.task import Task

_ONE = {"llm": "--llm", "gen": "--gen", "mode": "--mode"}
_NOT_OF_IDEAS: Mapping[str, Any] = {
    "shard": None, "until": None, "repeats_on": None, "luck_repeats": 1, "reference": None, "baseline": (),
    "stop_after": None,
}  # fmt: skip
"""Settings of popbench.toml or --config that are for studies of many prompts."""


@dataclass(frozen=True)
class BestPlan:
    """What is to be done: `config` is that of the first clips, of which `repeats` are made of each draft in the end."""

    idea: str
    task: Task
    config: EvalConfig
    repeats: int

    @property
    def folder(self) -> Path:
        """The run directory."""
        return Path(self.config.out or "")

    def plan(self, repeats: int = 1) -> Plan:
        """Make the plan of the drafts with so many clips each; raises UsageError as `make_plan` does."""
        plan = make_plan(replace(self.config, repeats=repeats), [self.task])
        plan.config = replace(plan.config, task=(str((self.folder / FILE).absolute()),))  # what stands there by then
        return plan


@dataclass(frozen=True)
class Best:
    """A finished (or stopped) search: the run behind it, and its outcome, None where no clip has a score."""

    run: Run
    outcome: Outcome | None


def prepare(idea: str, drafts: int, repeats: int, given: Mapping[str, Any], config: Path | None = None) -> BestPlan:
    """Merge options with --config, popbench.toml and the defaults. Nothing is written.

    Raises UsageError for an idea that is none, or a setting that does not fit.
    """
    idea = read_idea(idea)
    resolved = resolve_config(dict(given), config)
    if resolved.llm == DEFAULT_LLMS and not given.get("llm"):
        resolved = replace(resolved, llm=(DEFAULT_LLM,))
    task = idea_task(idea, resolved.task[0])
    if not resolved.mode:
        resolved = replace(resolved, mode=("basic" if "basic" in task.file.templates else min(task.file.templates),))
    for name, option in _ONE.items():
        if len(specs := getattr(resolved, name)) > 1:
            raise UsageError(f"best makes drafts by one {name}, and {len(specs)} are given: choose one by {option}")
    out = resolved.out or str(RUNS / folder_name(idea, resolved.seed))
    return BestPlan(idea, task, replace(resolved, limit=drafts, out=out, **_NOT_OF_IDEAS), repeats)


def make_best(wanted: BestPlan, progress: Progress) -> Best:
    """Do what is left to do of a plan, and write its result: best.mp4, best.json and index.html.

    All drafts get a first clip before any is rendered again, so that a budget which does not reach far enough leaves
    out repeats. What is finished is never repeated.

    Raises UsageError if something is not available, in which case nothing was run, and RunError if the disk refuses.
    """
    plan, folder = wanted.plan(), wanted.folder
    check_folder(folder, wanted.idea)
    check_free(folder)
    write_task(wanted.task, folder)
    run = execute(plan, progress)
    if wanted.repeats > 1 and run.complete:
        again = wanted.plan(wanted.repeats)
        with RunDirectory(folder, again) as directory:
            share_drafts(again, directory.ledger)
        run = execute(again, progress)
    outcome = read_outcome(folder, wanted.idea, run)
    if outcome is None:
        remove_result(folder)
    else:
        write_result(folder, outcome)
    return Best(run, outcome)

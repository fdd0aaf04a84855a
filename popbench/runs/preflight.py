"""What a run still has to do, read from its ledger without starting anything: for checks and for `--dry-run`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from popbench.errors import RunError, one_line
from popbench.interfaces import Engine
from popbench.ledger.ledger import STAGES, Ledger, StageKey, StageName
from popbench.pipeline.human_baseline import lacks, unmatched
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, SampleSet, TaskMode
from popbench.registry import Resolved
from popbench.runs.directory import check_identity


@dataclass(frozen=True, slots=True)
class ComponentWork:
    """One component's share of a run. `done` counts what is settled; equal calls among the rest are made once.

    `looked_up` are the prompts among the rest that retrieval has to find something for.
    """

    stage: StageName | Literal["match"]
    part: Part
    items: int
    done: int
    looked_up: frozenset[str] = frozenset()

    @property
    def left(self) -> int:
        """The items that are not settled."""
        return self.items - self.done


def count_work(plan: Plan, path: Path, *, exact: bool = False) -> list[ComponentWork]:
    """List the work of every component of a plan, against the ledger in the run directory `path` if there is one.

    Work of a stage that depends on earlier ones that are still to do is counted as if all of it came up. Unless
    `exact`, it is counted by the ledger's rows alone as long as these leave anything to do: a million clips take a
    while to look at. Who goes on with the run finds those that are gone.
    """
    ledger = Ledger.peek(path / "ledger.sqlite")
    try:
        if ledger is not None:
            check_identity(ledger, path, plan)
        view = LedgerView(ledger, path / "videos")
        if not exact:
            found = list(_count_work(plan, _Look(view, ())))
            if any(work.left for work in found):
                return found
            found = list(_count_work(plan, _Look(view, STAGES[1:2])))
            if not any(work.left for work in found):  # and no clip is gone
                return found
        return list(_count_work(plan, _Look(view, STAGES)))
    finally:
        if ledger is not None:
            ledger.close()


@dataclass(frozen=True, slots=True)
class _Look:
    """Counts what is done: for `stages` sample by sample, for the others by the number of rows."""

    view: LedgerView
    stages: Collection[StageName]
    counted: dict[StageKey, tuple[int, int]] = field(default_factory=dict)

    def over(self, stage: StageName, samples: SampleSet) -> int:
        """Count the samples that a stage is done with, or will never get to."""
        exact = stage in self.stages
        counts = self.view.ready(stage, samples) if exact else self.view.row_counts(samples, self.counted)
        return counts.done + counts.lost


def _count_work(plan: Plan, look: _Look) -> Iterator[ComponentWork]:
    for stage in plan.stages:
        if stage == "score" and plan.human is not None:
            samples = plan.human_samples
            items, left = sum(map(len, samples)), unmatched(samples, look.view)
            prompts = frozenset(prompt.text for _, prompt, _ in left)
            yield ComponentWork("match", plan.human, items, items - len(left), prompts)
        for part, sample_sets in plan.stage_samples(stage):
            yield _work(look, stage, part, sample_sets)


def _work(look: _Look, stage: StageName, part: Part, sample_sets: Sequence[SampleSet]) -> ComponentWork:
    items = done = 0
    looked_up: set[str] = set()
    for samples in sample_sets:
        items += len(samples)
        done += min(len(samples), look.over(stage, samples))
        method = samples.method
        if stage == "write" and isinstance(method, TaskMode) and method.template.uses_references:
            drafted = look.view.drafted(samples)
            looked_up |= {prompt.text for prompt in samples.prompts if prompt.id not in drafted}
    return ComponentWork(stage, part, items, done, frozenset(looked_up))


def missing(plan: Plan, work: Sequence[ComponentWork]) -> list[str]:
    """Ask every component that has work left what it lacks to run here, one line each."""
    busy = [item for item in work if item.left]
    engine: Engine = plan.engine.component
    lines = []
    for llm in plan.llms:  # told now, not when everything is paid
        try:
            llm.cost({"input": 1, "output": 1})
        except RunError as error:
            lines.append(str(error))
    unfit = _found(plan.engine, engine.check) if busy else []
    for item in busy if not unfit else ():  # an engine that is not there cannot tell what they lack there
        resolved = item.part.resolved
        lines += _found(resolved, partial(engine.lacks, resolved.spec, resolved.component))
    if any(item.looked_up for item in busy):
        for part in (plan.corpus, plan.embedder):
            lines += _found(part.resolved, part.resolved.component.check) if part is not None else []
    lines += unfit
    if not lines and plan.corpus is not None and any(item.stage == "match" for item in busy):
        lines += filter(None, [lacks(plan.corpus)])
    return lines


def _found(resolved: Resolved, check: Callable[[], list[str]]) -> list[str]:
    try:
        found = check()
    except Exception as error:  # a plugin's code may raise anything
        found = [f"its check failed: {one_line(error)}"]
    return [f"{resolved.spec.kind} {resolved.spec.label}: {line}" for line in found]

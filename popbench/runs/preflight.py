"""What is left to do in a run, and what is missing for it, found out before any work starts."""

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
from popbench.runs.choices import check_choices
from popbench.runs.directory import check_identity


@dataclass(frozen=True, slots=True)
class ComponentWork:
    """One component's share of a run, in samples, or in comparisons of two; equal calls among those left are made once.

    `looked_up` are the texts of the prompts for which references, or a human video, are still to be found.
    """

    stage: StageName | Literal["match"]
    part: Part
    items: int
    done: int
    looked_up: frozenset[str] = frozenset()

    @property
    def left(self) -> int:
        """The number of items that are not done."""
        return self.items - self.done


def count_work(
    plan: Plan, path: Path, *, exact: bool = False, tell: Callable[[str], None] | None = None
) -> list[ComponentWork]:
    """Count the work of every component of a plan, by the ledger in the run directory `path` if there is one.

    Samples that an earlier stage has still to make are counted as if all of them came out. Unless `exact`, only the
    ledger's rows are counted as long as these leave anything to do, since looking at a million clips takes a while:
    the run itself finds those that are gone. With `tell`, another process that holds the ledger is waited for.
    """
    ledger = Ledger.peek(path / "ledger.sqlite", tell=tell)
    try:
        if ledger is not None:
            check_identity(ledger, path, plan)
        view = LedgerView(ledger, path / "videos")
        check_choices(path, plan, view)
        if not exact:
            work = list(_count_work(plan, _Look(view, ())))
            if any(item.left for item in work):
                return work
            work = list(_count_work(plan, _Look(view, STAGES[1:2])))
            if not any(item.left for item in work):  # and no clip is gone
                return work
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
        for part in plan.comparers if stage == "score" else ():
            yield _work(look, stage, part, [pair.samples for pair in plan.comparisons(part)])


def _work(look: _Look, stage: StageName, part: Part, sample_sets: Sequence[SampleSet]) -> ComponentWork:
    items = done = 0
    looked_up: set[str] = set()
    for samples in sample_sets:
        items += len(samples)
        done += min(len(samples), look.over(stage, samples))
        method = samples.method
        if stage == "write" and isinstance(method, TaskMode) and method.uses_references:
            drafted = look.view.drafted(samples)
            looked_up |= {prompt.text for prompt in samples.prompts if prompt.id not in drafted}
    return ComponentWork(stage, part, items, done, frozenset(looked_up))


def missing(plan: Plan, work: Sequence[ComponentWork]) -> list[str]:
    """Return what components with work left lack to run here, one line each."""
    busy = [item for item in work if item.left]
    engine: Engine = plan.engine.component
    lines = []
    for of in (*plan.llms, *plan.generators, *plan.predictors):  # a wrong price is told now, not after all was paid
        try:
            of.estimate(1)
            if of.resolved.spec.kind == "llm":
                of.cost({"input": 1, "output": 1})
        except RunError as error:
            lines.append(str(error))
    unfit = _lacking(plan.engine, engine.check) if busy else []
    for item in busy if not unfit else ():  # only an engine that works can tell what components lack on its machines
        resolved = item.part.resolved
        lines += _lacking(resolved, partial(engine.lacks, resolved.spec, resolved.component))
    for writer in plan.writers if any(item.stage == "write" for item in busy) else ():
        lines += _lacking(writer.resolved, writer.resolved.component.check)
    if any(item.looked_up for item in busy):
        for part in (plan.corpus, plan.embedder):
            lines += _lacking(part.resolved, part.resolved.component.check) if part is not None else []
    lines += unfit
    if not lines and plan.corpus is not None and any(item.stage == "match" for item in busy):
        lines += filter(None, [lacks(plan.corpus)])
    return lines


def _lacking(resolved: Resolved, check: Callable[[], list[str]]) -> list[str]:
    try:
        lines = check()
    except Exception as error:  # a plugin's code may raise anything
        lines = [f"its check failed: {one_line(error)}"]
    return [f"{resolved.spec.kind} {resolved.spec.label}: {line}" for line in lines]

"""Tries candidates on prompts, through the pipeline of `popbench eval` and one ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from popbench.errors import RunError, one_line
from popbench.evaluation.rounds import value_of
from popbench.interfaces import Engine
from popbench.interfaces.models import is_real
from popbench.optimize.budget import Account
from popbench.optimize.search import BudgetEndError, Candidate, Floats
from popbench.optimize.splits import strata
from popbench.optimize.study import Study
from popbench.pipeline.budget import Budget, Limit
from popbench.pipeline.gpu_hours import GpuHours
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.pipeline import Pipeline
from popbench.planning.plan import Plan
from popbench.progress import Progress
from popbench.records import Prompt, Sample
from popbench.runs.collect import collect
from popbench.runs.directory import RunDirectory
from popbench.text import counted


class Bench:
    """What trials are made with: a study, its run directory, an engine that is started, and the account of costs."""

    def __init__(
        self, study: Study, directory: RunDirectory, engine: Engine, account: Account, progress: Progress
    ) -> None:
        self.study, self.directory, self.engine, self.account, self.progress = (
            study, directory, engine, account, progress,
        )  # fmt: skip
        self.view = LedgerView(directory.ledger, directory.videos)
        predictor = study.plan.predictors[0]
        self.predictor, self.real = predictor.label, is_real(predictor.resolved.component)

    def samples(self, candidates: Sequence[Candidate], prompts: Sequence[Prompt], kept: float) -> list[Sample]:
        """Return the samples of candidates on prompts, after making those that are missing.

        Raises BudgetEndError if what is kept of the budget would be touched, and RunError if samples have no result.
        """
        plan = self.study.with_prompts(self.study.planned(candidates), prompts)
        plan.predictors = plan.predictors[:1]
        samples = list(collect(plan, self.view, ResultErrors()))
        if all(sample.status != "error" for sample in samples):
            return samples
        budget = self._limit(plan, kept)
        pipeline = Pipeline(plan, self.directory.ledger, self.engine, self.view, self.progress, budget=budget)
        try:
            pipeline.run({})
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"{self.directory.path}: {one_line(str(error))}") from error
        samples = list(collect(plan, self.view, pipeline.dispatcher.errors))
        lost = [sample for sample in samples if sample.status == "error"]
        if lost and isinstance(budget, Limit | GpuHours) and budget.reached:
            raise BudgetEndError
        if lost:
            raise RunError(
                f"{counted(len(lost), 'sample')} of the search {'has' if len(lost) == 1 else 'have'} no result "
                f"({one_line(lost[0].error or '', 300)}): the same command tries them again"
            )
        return samples

    def _limit(self, plan: Plan, kept: float) -> Budget:
        """Return the budget that ends requests in the middle of a round."""
        limit = max(0.0, self.account.allowance.limit - kept)
        if self.account.allowance.kind == "usd":
            # Of all that were tried, and of the LLM that reflects: the ledger has what each of them took.
            llms = {part.digest: part for part in (*plan.llms, *self.study.llms, *self.study.plan.llms)}
            return Limit(limit, replace(plan, llms=list(llms.values())), self.directory.ledger)
        if self.account.allowance.kind == "gpu-hours":
            return GpuHours(limit * 3600, self.directory.ledger)
        return Budget()


class SplitTrials:
    """The trials of one part of the prompts."""

    def __init__(self, bench: Bench, prompts: Sequence[Prompt], kept: float) -> None:
        """`kept` is what of the budget is not for these trials."""
        self.prompts, self.strata = prompts, strata(prompts)
        self._bench, self._kept = bench, kept
        self.samples: dict[int, list[Sample]] = {}
        """The samples of each candidate by its number, on the first prompts."""
        self.ended = False
        """Whether the budget ended in the middle of a round."""

    def affords(self, wanted: Sequence[tuple[Candidate, int]]) -> bool:
        """Say whether the budget has all these trials."""
        new = sum(max(0, n - len(self.samples.get(one.number, ()))) for one, n in wanted)
        return not self.ended and new <= self._bench.account.room(self._kept)

    def scores(self, wanted: Sequence[tuple[Candidate, int]]) -> Sequence[Floats]:
        """Return the scores of candidates on so many of the first prompts. Raises as `Bench.samples`."""
        for n in sorted({n for _, n in wanted}):
            due = [one for one, most in wanted if most == n and len(self.samples.get(one.number, ())) < n]
            if due:
                self._take(due, n)
        return [self._values(self.samples[one.number][:n]) for one, n in wanted]

    def _take(self, candidates: Sequence[Candidate], n: int) -> None:
        for one in candidates:
            self._bench.study.write(one)
        try:
            samples = self._bench.samples(candidates, self.prompts[:n], self._kept)
        except BudgetEndError:
            self.ended = True
            raise
        place = {(prompt.task, prompt.id): number for number, prompt in enumerate(self.prompts[:n])}
        for one in candidates:
            before = len(self.samples.get(one.number, ()))
            own = [sample for sample in samples if sample.mode == one.id]
            own.sort(key=lambda sample: place[sample.task, sample.prompt_id])
            for sample in own[before:]:
                self._bench.account.add(sample)
            self.samples[one.number] = own

    def _values(self, samples: Sequence[Sample]) -> Floats:
        predictor, real = self._bench.predictor, self._bench.real
        return np.array([value_of(sample, predictor, real=real) for sample in samples])

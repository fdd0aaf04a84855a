"""`popbench.evaluate`: what `popbench eval` does, from Python."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from popbench.errors import RunError, UsageError, one_line
from popbench.evaluation.finish import finish
from popbench.evaluation.repeated import luck_of, repeated_plan
from popbench.evaluation.rounds import Rounds, told
from popbench.interfaces import Component, Engine
from popbench.pipeline.budget import Limit
from popbench.pipeline.human_baseline import Match, find_matches
from popbench.pipeline.ledger_view import LedgerView
from popbench.pipeline.other_runs import OtherRuns
from popbench.pipeline.pipeline import Pipeline
from popbench.pipeline.take_over import take_over
from popbench.planning.config import resolve_config
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.progress import Progress
from popbench.registry import load_registry
from popbench.runs.directory import RunDirectory, check_free, check_shard, run_path
from popbench.runs.heartbeat import Heartbeat
from popbench.runs.looks import looks_before, rounds_before
from popbench.runs.preflight import ComponentWork, count_work, missing
from popbench.runs.run import Run
from popbench.runs.run_json import FILE, describe, read_reused, with_reused
from popbench.runs.submitted import submitted
from popbench.runs.upgrades import upgrades
from popbench.specs import parse_spec
from popbench.text import counted, dollars

Given = str | Component | type[Component]
Specs = Given | Sequence[Given] | None
"""Components: specs, or instances and classes of one's own. Of all but modes, these run on the local engine only."""


def evaluate(
    *,
    llm: Specs = None,
    gen: Specs = None,
    mode: Specs = None,
    task: str | Sequence[str] | None = None,
    predictor: Specs = None,
    corpus: Given | None = None,
    embedder: Given | None = None,
    baseline: str | Sequence[str] | None = None,
    allow_leakage: bool | None = None,
    limit: int | None = None,
    shard: str | None = None,
    repeats: int | None = None,
    repeats_on: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    engine: str | None = None,
    concurrency: int | None = None,
    stop_after: str | None = None,
    max_cost: float | None = None,
    until: str | None = None,
    reference: str | None = None,
    reuse: str | Path | Sequence[str | Path] | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run an evaluation, or go on with it, and return the finished run.

    The arguments are the options of `popbench eval`; specs are strings like `"pe,k=50"`, and for components also
    classes and instances, such as `[Shout(Shout.Options(marks=2)), "verbatim"]`, on the local engine. An option that
    is not given is taken from `config`, then from popbench.toml, then from the defaults. Finished work in the run
    directory is never repeated, nor is what the runs in the directories `reuse` have. Samples in error do not raise:
    see `Run.complete`.

    Example:
        Ten prompts, with two modes::

            run = popbench.evaluate(llm="shotlist", mode=["basic", "pe"], limit=10, out="runs/first")

    Raises:
        UsageError: something in the request is not available; nothing was run.
        RunError: the run could not go on (for instance a full disk); what was finished is kept.
    """
    given = {
        "llm": _specs("llm", llm), "gen": _specs("generator", gen), "mode": _specs("mode", mode),
        "task": task,
        "predictor": _specs("predictor", predictor), "corpus": _specs("corpus", corpus),
        "embedder": _specs("embedder", embedder), "baseline": baseline, "allow_leakage": allow_leakage,
        "limit": limit, "shard": shard, "repeats": repeats, "repeats_on": repeats_on, "seed": seed,
        "out": None if out is None else str(out),
        "engine": engine, "concurrency": concurrency, "stop_after": stop_after, "max_cost": max_cost, "until": until,
        "reference": reference, "reuse": reuse,
    }  # fmt: skip
    resolved = resolve_config(given, None if config is None else Path(config))
    if any(map(_is_python, (llm, gen, predictor))) and parse_spec(resolved.engine)[0] != "local":
        raise UsageError("engine: classes and instances run on the local engine; for others, register them in a plugin")
    return execute(make_plan(resolved), progress or Progress())


def _is_python(given: Specs) -> bool:
    return any(not isinstance(each, str) for each in (given if isinstance(given, Sequence) else [given or ""]))


def _specs(kind: str, given: Specs) -> str | list[str] | None:
    """Return specs of components that may be given as classes and instances, which are registered for this process."""
    if given is None or isinstance(given, str):
        return given
    registry = load_registry()
    if isinstance(given, Component | type) or not isinstance(given, Iterable):
        return registry.adopt(kind, given)
    return [each if isinstance(each, str) else registry.adopt(kind, each) for each in given]


def execute(plan: Plan, progress: Progress) -> Run:
    """Carry out a plan in its run directory; raises as `evaluate` does."""
    path = run_path(plan)
    check_free(path)  # before its ledger is read, which may be on another machine's disk
    check_shard(path, plan.config.shard)
    engine: Engine = plan.engine.component
    with (
        closing(plan),
        closing(engine),  # an engine may have connected to other machines for its checks
        closing(OtherRuns(plan.config.reuse, path, progress.notice)) as others,
    ):
        if others.runs:
            with RunDirectory(path, plan, progress.notice) as directory:
                take_over(plan, LedgerView(directory.ledger, directory.videos), others)
            for line in others.told():
                progress.notice(line)
        rounds = None if plan.config.until is None else Rounds(plan, path)
        if rounds is None:
            plan.rounds = rounds_before(path)  # which a later command may go on with
        else:
            rounds.look_ahead(path)
        repeated = repeated_plan(plan)
        work = count_work(plan, path, tell=progress.notice)
        if repeated is not None:
            work += count_work(repeated, path)
        for line in upgrades(plan, path):
            progress.notice(line)
        if lacks := missing(plan, work):
            raise UsageError("\n".join(lacks))
        started = time.time()
        matches = _look_up(plan, work, progress)
        with RunDirectory(path, plan, progress.notice) as directory, Heartbeat(directory, started) as heartbeat:
            reused, plan.earlier_looks = read_reused(path), looks_before(path, plan)

            def record() -> None:
                directory.write_json(FILE, with_reused(describe(plan, started), reused, others.taken))

            view = LedgerView(directory.ledger, directory.videos)
            budget = None if plan.config.max_cost is None else Limit(plan.config.max_cost, plan, directory.ledger)
            if rounds is not None:
                for line in told(rounds.look(view)):
                    progress.notice(line)
            record()
            engine.start(directory.videos)
            if (notice := _demonstration(plan)) is not None:
                progress.notice(notice)
            try:
                more = True
                while more:
                    pipeline = Pipeline(plan, directory.ledger, engine, view, progress, others=others, budget=budget)
                    heartbeat.errors = pipeline.dispatcher.errors
                    pipeline.run(matches)
                    more = rounds is not None and _next_round(rounds, view, progress)
                    if more:
                        record()
                repeats = None
                if repeated is not None:
                    repeats = Pipeline(repeated, directory.ledger, engine, view, progress, others=others, budget=budget)
                    repeats.run(matches)
            except (OSError, sqlite3.Error) as error:
                raise RunError(f"{path}: {one_line(str(error))}") from error
            finally:
                engine.close()
                if (notice := submitted(plan, directory.ledger)) is not None:
                    progress.notice(notice)
                for line in others.told(plan.config.seed):
                    progress.notice(line)
                progress.close()
            worked = time.time()
            done = pipeline.dispatcher
            looked = None if rounds is None else rounds.looked
            luck, ended, lost = None, [*done.ended], 0
            if repeated is not None and repeats is not None:
                luck, lost = luck_of(repeated, view, repeats.dispatcher.errors)
                ended += repeats.dispatcher.ended
            if lost:
                ended.append(f"{counted(lost, 'sample')} of --repeats-on without a result")
            run = finish(plan, directory, view, done.errors, ended, logged=done.logged, looked=looked, luck=luck)
            if budget is not None and budget.reached:
                run = replace(run, over_budget=_over(budget, run))
            timings = {
                "seconds": round(worked - started, 3),
                "statistics_seconds": round(time.time() - worked, 3),
            }
            directory.write_json(FILE, with_reused(describe(plan, started, timings), reused, others.taken))
            return run


def _next_round(rounds: Rounds, view: LedgerView, progress: Progress) -> bool:
    """Look at the scores after a round; return whether another one is to be worked off."""
    before = rounds.looked
    looked = rounds.look(view)
    if before is not None and looked.state.look == before.state.look:  # not complete, or there was nothing to do
        return False
    for line in told(looked):
        progress.notice(line)
    return looked.state.stop is None


def _over(budget: Limit, run: Run) -> str:
    """Return what a budget left undone, in one line."""
    left = f"{counted(run.errors, 'item')} {'is' if run.errors == 1 else 'are'} left"
    return (
        f"stopped by --max-cost: {dollars(budget.spent)} of {dollars(budget.limit)} are spent, {left}; "
        "give a higher --max-cost to go on"
    )


def _look_up(plan: Plan, work: Sequence[ComponentWork], progress: Progress) -> Mapping[str, Match]:
    """Embed the prompts to be looked up and match human videos. Raises UsageError if a video cannot be used.

    This is done before any model is loaded, and the embedder is closed at the end, so that both never take up memory
    at the same time.
    """
    shown = {text for item in work if item.stage == "write" for text in item.looked_up}
    matched = {text for item in work if item.stage == "match" for text in item.looked_up}
    if plan.embedder is None or not (shown or matched):
        return {}
    try:
        if shown:
            plan.retriever.load(progress)
            for line in plan.reference_warnings:
                progress.notice(line)
            plan.retriever.prepare(sorted(shown), progress)
        return find_matches(plan.retriever, sorted(matched), progress) if matched else {}
    except BaseException:
        progress.close()
        raise
    finally:
        plan.embedder.resolved.component.close()


def _demonstration(plan: Plan) -> str | None:
    """Return a notice if scores or references come from a demonstration; a run that stops early has no scores."""
    if plan.config.stop_after is None and any(part.resolved.component.demo for part in plan.predictors):
        return "Demo run: its scores come from a demonstration and say nothing about real popularity."
    if plan.corpus is not None and plan.corpus.resolved.component.demo:
        return "Demo run: its references come from a demonstration and say nothing about real popularity."
    return None

"""Repeats on a part of the prompts (`--repeats-on`): enough to tell how much is luck, and no part of the board."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from popbench.errors import UsageError
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.records import JSON
from popbench.runs.collect import collect
from popbench.runs.run_json import describe
from popbench.scores.run_scores import RunScores
from popbench.tasks.task import spread


def repeated_plan(plan: Plan) -> Plan | None:
    """Return the plan of the repeats, on prompts spread over the categories; None if none are asked for.

    The first repeat is that of the board, and is not made again. Raises UsageError where repeats on a part of the
    prompts make no sense.
    """
    config = plan.config
    if config.repeats_on is None:
        return None
    for name, given in (("--until", config.until), ("--shard", config.shard), ("--stop-after", config.stop_after)):
        if given is not None:
            raise UsageError(f"--repeats-on tells how much of a whole run's scores is luck: leave out {name}")
    share = float(config.repeats_on.rstrip("%")) / 100
    prompts = {task: spread(of, ceil(share * len(of))) for task, of in plan.prompts.items()}
    repeated = replace(plan, prompts=prompts, config=replace(config, repeats=config.luck_repeats, repeats_on=None))
    if plan.corpus is not None and plan.embedder is not None:
        repeated.__dict__["retriever"] = plan.retriever  # a corpus is loaded once
    return repeated


def luck_of(repeated: Plan, view: LedgerView, errors: ResultErrors) -> tuple[list[dict[str, JSON]], int]:
    """Return the rows of `luck` in results.json, and the number of samples without a result."""
    from popbench.leaderboard.results import compute

    scores = RunScores(describe(repeated, 0), "")
    systems, lost = set[str](), 0
    for sample in collect(repeated, view, errors):
        scores.add(sample)
        lost += sample.status == "error"
        if sample.status != "error":
            systems.add(sample.system)
    try:
        return compute(scores.scores(systems), common=lost > 0).get("luck", []), lost
    except UsageError:  # no prompt has all its repeats
        return [], lost

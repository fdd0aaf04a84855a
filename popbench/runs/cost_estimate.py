"""Estimates what the drafts, clips and scores that are still to do will cost, for `--dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from popbench.ledger.ledger import Ledger
from popbench.ledger.sums import usage_of
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, TaskMode
from popbench.records import JSON
from popbench.runs.costs import MADE
from popbench.runs.preflight import ComponentWork

CHARS_PER_TOKEN = 4
"""A rule of thumb for English, used until there are finished calls."""

OUTPUT_TOKENS = {False: 250, True: 1200}
"""Output tokens of a draft without and with written-out reasoning, assumed until there are finished calls."""

_SHOWN_PROMPTS = 3


def estimate(plan: Plan, path: Path, work: Sequence[ComponentWork]) -> list[dict[str, JSON]]:
    """Estimate the drafts, tokens and USD that are still to do, for each LLM that knows its prices, then the clips and
    scores for each generator and predictor.

    Where no component knows a cost, there are no rows; else `cost` is None for those that work elsewhere and do not. A
    component's own estimate counts, else the mean of its finished calls, and `measured` is true. Raises RunError if a
    component fails to state a cost.

    Else a draft is assumed to cost the mean of the mode's finished drafts on any task, with their re-asks. For a mode
    without any, rendered prompts are counted at `CHARS_PER_TOKEN`, with one answer of `OUTPUT_TOKENS` each; `measured`
    is false if a mode was estimated so.
    """
    ledger = Ledger.peek(path / "ledger.sqlite")
    view = LedgerView(ledger, path / "videos")
    try:
        left = {id(item.part): item.left for item in work}
        rows = []
        for llm in plan.llms:
            nothing = {"llm": llm.label, "drafts": left.get(id(llm), 0), "usage": {}, "cost": None, "measured": False}
            rows.append((llm, _estimate(plan, view, llm) or nothing))
        rows += [(item.part, _of_calls(item, ledger)) for item in work if item.stage in ("render", "score")]
        some = any(row["cost"] is not None for _, row in rows)
        return [row for part, row in rows if row["cost"] is not None or (some and part.remote)]
    finally:
        if ledger is not None:
            ledger.close()


def _estimate(plan: Plan, view: LedgerView, llm: Part) -> dict[str, JSON] | None:
    if llm.cost({"input": 1, "output": 1}) is None and llm.estimate(1) is None:
        return None
    drafts, requests, measured = 0, 0, True
    usage = Counter({"input": 0, "output": 0})
    left: list[tuple[TaskMode, int]] = []
    means: dict[str, _Mean] = {}
    for task_mode in plan.task_modes.values():
        mean_usage = means.setdefault(task_mode.mode.label, _Mean())
        undone = 0
        for done, used in view.usage(plan.sample_set(task_mode, llm)):
            undone += not done
            if used:
                mean_usage.add(used)
        left.append((task_mode, undone))
    for task_mode, undone in left:
        if undone:
            mean_usage = means[task_mode.mode.label]
            one = mean_usage.usage() if mean_usage.n else _guess(plan, task_mode)
            measured = measured and bool(mean_usage.n)
            drafts += undone
            requests += undone * task_mode.mode.writer.turns
            usage.update({kind: round(undone * count) for kind, count in one.items()})
    row: dict[str, JSON] = {"llm": llm.label, "drafts": drafts}
    own = llm.estimate(requests)
    if own is not None:
        return {**row, "usage": {}, "cost": own, "measured": False}
    return {**row, "usage": dict(usage), "cost": llm.planned_cost(usage), "measured": measured}


def _of_calls(item: ComponentWork, ledger: Ledger | None) -> dict[str, JSON]:
    """Estimate what a generator or a predictor has still to do."""
    part = item.part
    kind = part.resolved.spec.kind
    cost, measured = part.estimate(item.left), False
    if cost is None and ledger is not None:
        calls = sum(row[2] for row in ledger.spent() if row[0] == part.digest)
        usage = usage_of(kind, part.digest, ledger.used())
        spent = part.cost(usage) if usage else None
        if calls and spent is not None:
            cost, measured = spent / calls * item.left, True
    return {kind: part.label, f"{MADE[kind]}s": item.left, "cost": cost, "measured": measured}


class _Mean:
    """The mean usage of the drafts that are added."""

    def __init__(self) -> None:
        self.n = 0
        self._sum: Counter[str] = Counter()

    def add(self, usage: Mapping[str, float]) -> None:
        self.n += 1
        self._sum.update(usage)

    def usage(self) -> dict[str, float]:
        return {kind: self._sum[kind] / self.n for kind in ("input", "output")}


def _guess(plan: Plan, task_mode: TaskMode) -> dict[str, float]:
    prompts = plan.prompts[task_mode.task.name][:_SHOWN_PROMPTS]
    chars = mean(sum(len(message["content"]) for message in plan.preview(task_mode, prompt)) for prompt in prompts)
    turns = task_mode.mode.writer.turns
    return {"input": turns * chars / CHARS_PER_TOKEN, "output": turns * OUTPUT_TOKENS[task_mode.reasons]}

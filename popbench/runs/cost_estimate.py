"""What the drafts that are still to come will cost: an estimate, for `--dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from popbench.ledger.ledger import Ledger
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.planning.systems import Part, TaskMode
from popbench.records import JSON

CHARS_PER_TOKEN = 4
"""A rule of thumb for English, used until the first finished calls tell better."""

OUTPUT_TOKENS = {False: 250, True: 1200}
"""Output tokens assumed of a draft without and with written-out reasoning, until finished calls tell better."""

_SHOWN_PROMPTS = 3


def estimate(plan: Plan, path: Path) -> list[dict[str, JSON]]:
    """Estimate the drafts, tokens and USD still to come, by LLM that knows its prices.

    Means of the finished drafts of a mode, re-asks included, whatever their task; for a mode without any, rendered
    prompts at `CHARS_PER_TOKEN`, one answer each, of `OUTPUT_TOKENS`. `measured`: no mode had to be guessed.
    """
    ledger = Ledger.peek(path / "ledger.sqlite")
    view = LedgerView(ledger, path / "videos")
    try:
        return [row for llm in plan.llms if (row := _estimate(plan, view, llm)) is not None]
    finally:
        if ledger is not None:
            ledger.close()


def _estimate(plan: Plan, view: LedgerView, llm: Part) -> dict[str, JSON] | None:
    if llm.cost({"input": 1, "output": 1}) is None:
        return None
    drafts, measured = 0, True
    usage = Counter({"input": 0, "output": 0})
    left: list[tuple[TaskMode, int]] = []
    known: dict[str, _Mean] = {}
    for task_mode in plan.task_modes.values():
        seen = known.setdefault(task_mode.mode.label, _Mean())
        open_ = 0
        for done, used in view.usage(plan.samples(task_mode, llm)):
            open_ += not done
            if used:
                seen.add(used)
        left.append((task_mode, open_))
    for task_mode, open_ in left:
        if open_:
            seen = known[task_mode.mode.label]
            one = seen.usage() if seen.n else _guess(plan, task_mode)
            measured = measured and bool(seen.n)
            drafts += open_
            usage.update({kind: round(open_ * count) for kind, count in one.items()})
    return {"llm": llm.label, "drafts": drafts, "usage": dict(usage), "cost": llm.cost(usage), "measured": measured}


class _Mean:
    """The mean usage of drafts that pass by."""

    def __init__(self) -> None:
        self.n = 0
        self._sum: Counter[str] = Counter()

    def add(self, usage: Mapping[str, int]) -> None:
        self.n += 1
        self._sum.update(usage)

    def usage(self) -> dict[str, float]:
        return {kind: self._sum[kind] / self.n for kind in ("input", "output")}


def _guess(plan: Plan, task_mode: TaskMode) -> dict[str, float]:
    prompts = plan.prompts[task_mode.task.name][:_SHOWN_PROMPTS]
    chars = mean(sum(len(message["content"]) for message in plan.preview(task_mode, prompt)) for prompt in prompts)
    return {"input": chars / CHARS_PER_TOKEN, "output": OUTPUT_TOKENS[task_mode.template.reasons]}

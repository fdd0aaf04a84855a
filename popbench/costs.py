"""What drafts cost: totals of a run's samples, and an estimate of what is still to come, for `--dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import floor, log10
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from popbench.errors import counted
from popbench.records import JSON, Sample

if TYPE_CHECKING:
    from popbench.plan import Plan
    from popbench.settled import View
    from popbench.systems import Part, TaskMode

CHARS_PER_TOKEN = 4
"""A rule of thumb for English, used until the first finished calls tell better."""

OUTPUT_TOKENS = {False: 250, True: 1200}
"""Output tokens assumed of a draft without and with written-out reasoning, until finished calls tell better."""

_SHOWN_PROMPTS = 3


class Totals:
    """Adds up calls, tokens and USD by LLM; a draft that several generators render is counted once.

    Of the systems of an LLM and a mode, which share their drafts, those of the first count.
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, JSON]] = {}
        self._counted: dict[tuple[str, str | None], str] = {}

    def add(self, sample: Sample) -> None:
        """Add what the draft of a sample cost, unless it is counted already."""
        if sample.llm is None or self._counted.setdefault((sample.llm, sample.mode), sample.system) != sample.system:
            return
        row = self._rows.get(sample.llm)
        if row is None:
            row = {"llm": sample.llm, "calls": 0, "uncounted": 0, "usage": Counter(), "cost": None}
            self._rows[sample.llm] = row
        row["calls"] += sample.attempts
        if sample.usage:
            row["usage"].update(sample.usage)
        else:
            row["uncounted"] += sample.attempts
        if sample.cost is not None:
            row["cost"] = (row["cost"] or 0.0) + sample.cost

    def rows(self) -> list[dict[str, JSON]]:
        """Return a row for each LLM.

        `cost` is None for one that knows no prices; `uncounted` are the calls of drafts whose usage nobody told.
        """
        return [{**row, "usage": dict(row["usage"])} for row in self._rows.values()]


def totals(samples: Iterable[Sample]) -> list[dict[str, JSON]]:
    """Add samples up as `Totals` does."""
    found = Totals()
    for sample in samples:
        found.add(sample)
    return found.rows()


def sentences(rows: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Say in one line each what LLMs that count tokens have used."""
    for row in rows:
        if row["usage"]:
            spent = "" if row["cost"] is None else f", {dollars(row['cost'])}"
            lacking = f" (without {counted(row['uncounted'], 'call')} of unknown usage)" if row["uncounted"] else ""
            yield f"{row['llm']}: {counted(row['calls'], 'call')}, {tokens(row['usage'])}{spent}{lacking}"


def tokens(usage: Mapping[str, int]) -> str:
    """Write token counts out, as in `12,000 input and 900 output tokens`."""
    return " and ".join(f"{usage[kind]:,} {kind}" for kind in ("input", "output") if kind in usage) + " tokens"


def dollars(amount: float) -> str:
    """Write an amount of USD: in cents, or with as many digits as a smaller one takes."""
    digits = 2 if amount >= 0.01 or amount == 0 else 1 - floor(log10(amount))
    return f"${amount:,.{digits}f}"


def estimate(plan: Plan, path: Path) -> list[dict[str, JSON]]:
    """Estimate the drafts, tokens and USD still to come, by LLM that knows its prices.

    Means of the finished drafts of a mode, re-asks included, whatever their task; for a mode without any, rendered
    prompts at `CHARS_PER_TOKEN`, one answer each, of `OUTPUT_TOKENS`. `measured`: no mode had to be guessed.
    """
    from popbench.ledger import Ledger
    from popbench.settled import View

    ledger = Ledger.peek(path / "ledger.sqlite")
    view = View(ledger, path / "videos")
    try:
        return [row for llm in plan.llms if (row := _estimate(plan, view, llm)) is not None]
    finally:
        if ledger is not None:
            ledger.close()


def _estimate(plan: Plan, view: View, llm: Part) -> dict[str, JSON] | None:
    if llm.cost({"input": 1, "output": 1}) is None:
        return None
    drafts, measured = 0, True
    usage = Counter({"input": 0, "output": 0})
    left: list[tuple[TaskMode, int]] = []
    known: dict[str, _Mean] = {}
    for task_mode in plan.task_modes.values():
        seen = known.setdefault(task_mode.mode.label, _Mean())
        open_ = 0
        places = ((prompt.id, repeat) for prompt, repeat in plan.places(task_mode))
        for settled, used in view.usage(task_mode, llm, places):
            open_ += not settled
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

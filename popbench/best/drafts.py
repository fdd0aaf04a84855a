"""Renders drafts again: the first repeat's draft of each prompt becomes that of its further repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from popbench.ledger.ledger import Ledger
from popbench.planning.plan import Plan
from popbench.records import JSON

_OF_CALLS = ("seconds", "peak_memory_mb", "usage", "uncounted", "unusable", "remarks")
"""What a draft took and what was remarked on its answers, which counts once."""


def share_drafts(plan: Plan, ledger: Ledger) -> None:
    """Settle the drafts of all further repeats of a plan with what the first one came to, invalid ones too.

    No component is asked. Clips of these repeats have seeds of their own, so they differ by luck alone. A prompt whose
    first draft is not settled is left out. Raises RunError if the disk refuses.
    """
    for llm in plan.llms:
        for method in plan.task_modes.values():
            samples = plan.sample_set(method, llm)
            done = ledger.done(samples.stage_key("write"))
            missing = [
                replace(first, repeat=repeat, value=_again(first.value))
                for _, prompt, repeat in samples.numbered()
                if repeat and (prompt.id, repeat) not in done and (first := done.get((prompt.id, 0))) is not None
            ]
            ledger.commit(None, missing)


def _again(value: Mapping[str, JSON]) -> dict[str, JSON]:
    kept = {name: of for name, of in value.items() if name not in _OF_CALLS}
    return {**kept, "attempts": 0}

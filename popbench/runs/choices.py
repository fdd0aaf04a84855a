"""What this machine's environment chose for a run, against what it chose when the run was begun."""

from __future__ import annotations

from pathlib import Path

from popbench.errors import UsageError
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.runs.differences import changes
from popbench.runs.run_json import read_run_json
from popbench.runs.upgrades import earlier_part


def check_choices(path: Path, plan: Plan, view: LedgerView) -> None:
    """Raise UsageError if the environment chose another LLM for a label than the one that has written drafts here.

    Nobody asked for the change, and the drafts of the two are not the same: they would be written, and paid for, again.
    """
    chosen = [part for part in plan.llms if part.resolved.chosen]
    if not chosen or view.ledger is None:
        return
    try:
        earlier = read_run_json(path)
    except UsageError:
        return  # there is no run.json, or it is damaged and is written again
    for part in chosen:
        before = earlier_part(part, earlier)
        if before is not None and _has_written(before, plan, view):
            options = ",".join(f"{name}={value}" for name, value in part.resolved.chosen.items())
            names = ",".join(f"{name}=NAME" for name in part.resolved.chosen)
            raise UsageError(
                f"{path}: llm {part.label} is another one than the one that wrote its drafts "
                f"({changes(before.fingerprint, part.fingerprint)}), since the keys that are set choose {options}: "
                f"name the earlier one ({part.resolved.spec.name},{names},label={part.label}), or choose another --out"
            )


def _has_written(llm: Part, plan: Plan, view: LedgerView) -> bool:
    return any(view.has_rows(plan.sample_set(method, llm)) for method in plan.task_modes.values())

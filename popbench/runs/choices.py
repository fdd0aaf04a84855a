"""What this machine's environment chose for a run, against what it chose when the run was begun."""

from __future__ import annotations

from pathlib import Path

from popbench.errors import UsageError
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.runs.differences import changes
from popbench.runs.run_json import RunJson, read_run_json
from popbench.runs.upgrades import earlier_part
from popbench.specs import parse_spec


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
            raise UsageError(
                f"{path}: llm {part.label} is another one than the one that wrote its drafts "
                f"({changes(before.fingerprint, part.fingerprint)}), {_why(part, earlier)}, or choose another --out"
            )


def _why(part: Part, earlier: RunJson) -> str:
    """Return why an LLM is another one, and how the earlier one is had again."""
    chosen, spec = part.resolved.chosen, part.resolved.spec
    _, before = parse_spec(earlier["components"][f"{spec.kind} {part.label}"]["spec"])
    if all(before.get(name) == str(value) for name, value in chosen.items()):
        return "since the environment or popbench's version is another: put it back"
    options = ",".join(f"{name}={value}" for name, value in chosen.items())
    names = ",".join(f"{name}={before.get(name, 'NAME')}" for name in chosen)
    return (
        f"since the keys that are set choose {options}: name the earlier one ({spec.name},{names},label={part.label})"
    )


def _has_written(llm: Part, plan: Plan, view: LedgerView) -> bool:
    return any(view.has_rows(plan.sample_set(method, llm)) for method in plan.task_modes.values())

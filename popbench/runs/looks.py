"""Earlier looks at a run's results with fewer prompts, which make its verdicts less certain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from popbench.errors import UsageError
from popbench.planning.plan import Plan
from popbench.runs.run_json import RoundsEntry, read_run_json


def looks_before(run: Path, plan: Plan) -> list[Mapping[str, int]]:
    """Return the prompts per task of earlier boards of this run that had fewer prompts, the first look first.

    A look counts if it showed scores of two systems that the plan compares again, on tasks with the same prompts.
    Nothing where prompts are taken in rounds, which are made for looks, or where run.json cannot be read.
    """
    if plan.config.until is not None:
        return []
    try:
        before = read_run_json(run)
    except UsageError:
        return []
    looks = list(before.get("looks", []))
    known = [name for name, digests in plan.fingerprints.items() if before["systems"].get(name) == digests]
    if before["finished"] and not before["config"].get("stop_after") and len(known) > 1:
        looks.append({name: task["n"] for name, task in before["tasks"].items()})
    now = {task.name: len(plan.prompts[task.name]) for task in plan.tasks}
    hashes = {task.name: task.hash for task in plan.tasks}
    told: list[Mapping[str, int]] = []
    for look in looks:
        same = {
            name: n
            for name, n in look.items()
            if name in hashes and name in before["tasks"] and before["tasks"][name]["hash"] == hashes[name]
        }
        if any(n < now[name] for name, n in same.items()) and same not in told:
            told.append(same)
    return told


def rounds_before(run: Path) -> RoundsEntry | None:
    """Return what run.json has of prompts taken in rounds; None if it has nothing, or cannot be read."""
    try:
        return read_run_json(run).get("rounds")
    except UsageError:
        return None


def remark(looks: Sequence[Mapping[str, int]]) -> Iterator[str]:
    """Yield what earlier looks do to verdicts, if there were any."""
    if looks:
        numbers = " and ".join(f"{sum(look.values()):,}" for look in looks)
        yield (
            f"The results were looked at before, with {numbers} prompts. Where prompts are added until a verdict "
            "appears, it is wrong more often than 5 %: with a look every 20 prompts up to 200, two equal systems were "
            "decided on 14 % of boards, and a pair of five on 18 %. Decide the number of prompts beforehand."
        )

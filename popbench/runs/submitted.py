"""How many jobs of a run are at work elsewhere: submitted by a component, and not finished."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

from popbench.errors import PopbenchError
from popbench.ledger.ledger import Ledger
from popbench.planning.plan import Plan
from popbench.text import counted


def submitted(plan: Plan, ledger: Ledger) -> str | None:
    """Return what becomes of the jobs that a run leaves behind, in a line; None if there are none."""
    with suppress(PopbenchError):  # a ledger that cannot be read is told by what needed it
        jobs = ledger.in_flight()
        count = sum(jobs.get(part.digest, 0) for part in (*plan.llms, *plan.generators, *plan.predictors))
        if count:
            return f"{counted(count, 'job')} submitted and not finished: the same command asks for them again"
    return None


def submitted_before(path: Path) -> dict[str, int]:
    """Count the jobs that the run in the directory `path` has at work, by the digest of the component."""
    ledger = Ledger.peek(path / "ledger.sqlite")
    if ledger is None:
        return {}
    with closing(ledger):
        return ledger.in_flight()

"""What a run still has to do, read from its ledger without starting anything: for checks and for `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from popbench.errors import one_line
from popbench.ledger import Ledger, Stage
from popbench.plan import Part, Plan, TaskMode
from popbench.registry import Resolved

_STAGES: tuple[Stage, ...] = ("write", "render", "score")


@dataclass(frozen=True, slots=True)
class Work:
    """One component's share of a run. `done` counts what is settled; equal calls among the rest are made once."""

    stage: Stage
    part: Part
    items: int
    done: int

    @property
    def left(self) -> int:
        """The items that are not settled."""
        return self.items - self.done


def workload(plan: Plan, path: Path) -> list[Work]:
    """List the work of every component of a plan, against the ledger in the run directory `path` if there is one.

    Work of a stage that depends on earlier ones that are still to do is counted as if all of it came up.
    """
    file = path / "ledger.sqlite"
    ledger = Ledger(file) if file.exists() else None
    try:
        return list(_workload(plan, ledger))
    finally:
        if ledger is not None:
            ledger.close()


def _workload(plan: Plan, ledger: Ledger | None) -> Iterator[Work]:
    for llm in plan.llms:
        yield _work(plan, ledger, "write", llm, [(llm,)])
    if plan.config.stop_after == "write":
        return
    for generator in plan.generators:
        yield _work(plan, ledger, "render", generator, [(llm, generator) for llm in plan.llms])
    if plan.config.stop_after == "render":
        return
    for predictor in plan.predictors:
        chains = [(llm, generator, predictor) for llm in plan.llms for generator in plan.generators]
        yield _work(plan, ledger, "score", predictor, chains)


def _work(plan: Plan, ledger: Ledger | None, stage: Stage, part: Part, chains: Sequence[Sequence[Part]]) -> Work:
    items = done = 0
    for task_mode in plan.task_modes.values():
        wanted = {
            (prompt.id, repeat) for prompt in plan.prompts[task_mode.task.name] for repeat in range(plan.config.repeats)
        }
        for chain in chains:
            items += len(wanted)
            if ledger is not None:
                done += len(wanted & _settled(ledger, task_mode, stage, chain))
    return Work(stage, part, items, done)


def _settled(ledger: Ledger, task_mode: TaskMode, stage: Stage, chain: Sequence[Part]) -> set[tuple[str, int]]:
    """Return what is settled at a stage, by its own result or because an earlier stage found the sample invalid."""
    found: set[tuple[str, int]] = set()
    for number, earlier in enumerate(_STAGES[: _STAGES.index(stage)], 1):
        done = ledger.done(task_mode.cell(earlier, *chain[:number]))
        found |= {at for at, item in done.items() if item.status == "invalid"}
    return found | set(ledger.done(task_mode.cell(stage, *chain)))


def missing(plan: Plan, work: Sequence[Work]) -> list[str]:
    """Ask every component that has work left what it lacks to run here, one line each."""
    busy = [item for item in work if item.left]
    resolved: list[Resolved] = [item.part.resolved for item in busy]
    if any(item.stage == "write" for item in busy):
        resolved += [part.resolved for part in (plan.corpus, plan.embedder) if part is not None]
    if busy:
        resolved.append(plan.engine)
    lines = []
    for item in resolved:
        try:
            found = item.component.check()
        except Exception as error:
            found = [f"its check failed: {one_line(error)}"]
        lines += [f"{item.spec.kind} {item.spec.label}: {line}" for line in found]
    return lines

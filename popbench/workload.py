"""What a run still has to do, read from its ledger without starting anything: for checks and for `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from popbench.errors import RunError, one_line
from popbench.human import lacks, unmatched
from popbench.ledger import Ledger, Stage
from popbench.plan import Plan
from popbench.registry import Resolved
from popbench.run import check_identity
from popbench.settled import At, View
from popbench.systems import Part, TaskMode, Track


@dataclass(frozen=True, slots=True)
class Work:
    """One component's share of a run. `done` counts what is settled; equal calls among the rest are made once.

    `looked_up` are the prompts among the rest that retrieval has to find something for.
    """

    stage: Stage | Literal["match"]
    part: Part
    items: int
    done: int
    looked_up: frozenset[str] = frozenset()

    @property
    def left(self) -> int:
        """The items that are not settled."""
        return self.items - self.done


def workload(plan: Plan, path: Path) -> list[Work]:
    """List the work of every component of a plan, against the ledger in the run directory `path` if there is one.

    Work of a stage that depends on earlier ones that are still to do is counted as if all of it came up.
    """
    ledger = Ledger.peek(path / "ledger.sqlite")
    try:
        if ledger is not None:
            check_identity(ledger, path, plan)
        return list(_workload(plan, View(ledger, path / "videos")))
    finally:
        if ledger is not None:
            ledger.close()


def _workload(plan: Plan, view: View) -> Iterator[Work]:
    for llm in plan.llms:
        yield _work(plan, view, "write", llm, [(llm,)])
    if plan.config.stop_after == "write":
        return
    for generator in plan.generators:
        yield _work(plan, view, "render", generator, [(llm, generator) for llm in plan.llms])
    if plan.config.stop_after == "render":
        return
    if plan.human is not None:
        items = sum(1 for track in plan.human_tracks for _ in plan.places(track))
        left = unmatched(plan, view)
        prompts = frozenset(prompt.text for _, prompt, _ in left)
        yield Work("match", plan.human, items, items - len(left), prompts)
    for predictor in plan.predictors:
        chains = [(llm, generator, predictor) for llm in plan.llms for generator in plan.generators]
        yield _work(plan, view, "score", predictor, chains)


def _work(plan: Plan, view: View, stage: Stage, part: Part, chains: Sequence[tuple[Part, ...]]) -> Work:
    items = done = 0
    looked_up: set[str] = set()
    lines: list[tuple[Track, tuple[Part, ...]]] = [
        (track, chain) for track in plan.task_modes.values() for chain in chains
    ]
    if stage == "score" and (human := plan.human) is not None:
        lines += [(track, (human, human, part)) for track in plan.human_tracks]
    for track, chain in lines:
        wanted = {(prompt.id, repeat) for prompt, repeat in plan.places(track)}
        over = wanted & (set(view.settled(stage, track, chain)) | _invalid(view, track, stage, chain))
        items += len(wanted)
        done += len(over)
        if stage == "write" and isinstance(track, TaskMode) and track.template.uses_references:
            looked_up |= {prompt.text for prompt, repeat in plan.places(track) if (prompt.id, repeat) not in over}
    return Work(stage, part, items, done, frozenset(looked_up))


def _invalid(view: View, track: Track, stage: Stage, chain: tuple[Part, ...]) -> set[At]:
    """Return the places that an earlier stage found invalid: they are done with."""
    found: set[At] = set()
    if stage != "write":
        found |= {at for at, done in view.write(track, chain[0]).items() if done.status == "invalid"}
    if stage == "score":
        found |= {at for at, clip in view.render(track, chain[0], chain[1]).items() if not clip.ok}
    return found


def missing(plan: Plan, work: Sequence[Work]) -> list[str]:
    """Ask every component that has work left what it lacks to run here, one line each."""
    busy = [item for item in work if item.left]
    resolved: list[Resolved] = [item.part.resolved for item in busy]
    if any(item.looked_up for item in busy):
        resolved += [part.resolved for part in (plan.corpus, plan.embedder) if part is not None]
    if busy:
        resolved.append(plan.engine)
    lines = []
    for llm in plan.llms:  # told now, not when everything is paid
        try:
            llm.cost({"input": 1, "output": 1})
        except RunError as error:
            lines.append(str(error))
    for item in resolved:
        try:
            found = item.component.check()
        except Exception as error:
            found = [f"its check failed: {one_line(error)}"]
        lines += [f"{item.spec.kind} {item.spec.label}: {line}" for line in found]
    if not lines and plan.corpus is not None and any(item.stage == "match" for item in busy):
        lines += filter(None, [lacks(plan.corpus)])
    return lines

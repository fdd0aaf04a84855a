"""Prompts taken in rounds: after each, a sequential procedure says which systems need more (`--until`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from popbench.errors import UsageError, one_line
from popbench.interfaces.models import is_real
from popbench.ledger.ledger import Ledger
from popbench.pipeline.items import ResultErrors
from popbench.pipeline.ledger_view import LedgerView
from popbench.planning.plan import Plan
from popbench.records import JSON, Sample
from popbench.runs.collect import collect
from popbench.runs.looks import rounds_before
from popbench.stats import SequentialDesign, SequentialState, replay_looks
from popbench.tasks.task import spread
from popbench.text import counted

EVERY = 20
"""Prompts of a round, or one of each category if that is more."""
_STOPS: Mapping[str, str] = {
    "best": "the best system is found",
    "no best": "no system is the best: they beat one another in a circle",
    "decided": "all pairs are decided",
    "width": "all intervals are as narrow as wanted",
    "futility": "what is undecided would hardly be decided by the prompts that are left",
    "maximum": "there are no more prompts",
}


@dataclass(frozen=True)
class Looked:
    """The state after the looks so far, with the design and the systems that it is about, in order."""

    design: SequentialDesign
    systems: Sequence[str]
    states: Sequence[SequentialState]
    values: Any
    """The scores, shape (systems, prompts, repeats); NaN for what is not there."""

    @property
    def state(self) -> SequentialState:
        """The present state."""
        return self.states[-1]


class Rounds:
    """Takes the prompts of a plan in rounds, by what the ledger holds."""

    def __init__(self, plan: Plan, path: Path) -> None:
        """Take up the design that the run in a directory has, or make one.

        Raises UsageError if the plan cannot be taken in rounds, or not as the run began it.
        """
        self._plan = plan
        for name, given in (("--shard", plan.config.shard), ("--stop-after", plan.config.stop_after)):
            if given is not None:
                raise UsageError(f"--until looks at scores after every round: leave out {name}")
        groups = {task.group or task.name for task in plan.tasks}
        if len(groups) > 1:
            raise UsageError(
                f"--until judges one table, here are {len(groups)}: name one task or one group with --task"
            )
        self.systems = [system.id for system in plan.systems] + ([plan.human.label] if plan.human is not None else [])
        if len(self.systems) < 2:
            raise UsageError("--until compares systems, and there is one: name another --llm, --gen or --mode")
        self.looked: Looked | None = None
        self._about: dict[str, JSON] = {
            "systems": {system: plan.fingerprints[system] for system in self.systems},
            "predictor": plan.predictors[0].digest,
            "repeats": plan.config.repeats,
        }
        self.design = self._design(path)
        self._limits = [self._limit(n) for n in self.design.looks]
        self._round_of = {
            (task, prompt.id): number
            for task, prompts in plan.prompts.items()
            for number, limit in reversed([*enumerate(self._limits)])
            for prompt in spread(prompts, limit)
        }

    def _design(self, path: Path) -> SequentialDesign:
        """Return the design of the run so far, with the goal of now, extended to more prompts; or a new one."""
        goal, _, width = str(self._plan.config.until).partition("=")
        aim: dict[str, Any] = {"goal": goal, "width": float(width) if width else None}
        before = rounds_before(path)
        try:
            if before is None:
                return SequentialDesign(len(self.systems), self._looks(0), **aim)
            if self._about != {name: value for name, value in before.items() if name in self._about}:
                raise UsageError(
                    f"{path}: its rounds compare other systems, or by another predictor or number of repeats, and a "
                    "procedure that is under way cannot change them: give the options of before, or another --out"
                )
            # What the looks so far have spent stays spent.
            design = replace(SequentialDesign.from_json(before["design"]), **aim)
            most = sum(map(len, self._plan.prompts.values()))
            if most < design.maximum:
                raise UsageError(
                    f"{path}: its rounds go on to {design.maximum} prompts, and these options have {most}: give the "
                    "--limit of before or more, or another --out"
                )
            if most > design.maximum:
                looks = (*design.looks, *self._looks(design.maximum))
                design = replace(design, looks=looks, maxima=(*design.maxima, len(looks)))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"--until: {one_line(error)}") from error
        return design

    def _looks(self, after: int) -> tuple[int, ...]:
        """Return the prompts at each look after so many; each round has some of every category, of every task."""
        prompts = self._plan.prompts.values()
        turn = max(len({prompt.category for prompt in of}) for of in prompts)
        step = turn * ceil(EVERY / (turn * len(prompts)))
        most, first = max(map(len, prompts)), self._limit(after)
        return tuple(self._total(limit) for limit in (*range(first + step, most, step), most))

    def _total(self, limit: int) -> int:
        return sum(min(limit, len(of)) for of in self._plan.prompts.values())

    def _limit(self, n: int) -> int:
        """Return the prompts per task that make so many in all."""
        return next(limit for limit in count() if self._total(limit) >= n)

    def look(self, view: LedgerView) -> Looked:
        """Replay all looks that the ledger's scores allow, and set what the systems take next."""
        self._plan.taken = dict.fromkeys(self.systems, self._limits[-1])
        data = self._data(view)
        looked = self.looked = Looked(self.design, self.systems, replay_looks(self.design, **data), data["values"])
        state = looked.state
        self._take(looked, min(state.look, len(self._limits) - 1))
        self._plan.rounds = {
            **self._about,
            "design": self.design.to_json(),
            "look": state.look,
            "stop": state.stop,
            "prompts": dict(self._plan.taken),
        }
        return looked

    def look_ahead(self, path: Path) -> None:
        """Set what the systems may still take at most, by the ledger in a run directory, for checks of its needs."""
        ledger = Ledger.peek(path / "ledger.sqlite")
        try:
            self._take(self.look(LedgerView(ledger, path / "videos")), len(self._limits) - 1)
        finally:
            if ledger is not None:
                ledger.close()

    def _take(self, looked: Looked, round_: int) -> None:
        """Let the active systems take all prompts up to a round, and the others those that they have."""
        self._plan.taken = {
            system: self._limits[round_ if active else left_at - 1]
            for system, active, left_at in zip(self.systems, looked.state.active, looked.state.left_at, strict=True)
        }

    def _data(self, view: LedgerView) -> dict[str, Any]:
        """Return the arguments of `replay_looks`: the scores of the first predictor, NaN for what has none."""
        plan = self._plan
        predictor = plan.predictors[0]
        real = is_real(predictor.resolved.component)
        prompts = list(self._round_of)
        category = {(task, prompt.id): prompt.category for task, of in plan.prompts.items() for prompt in of}
        at = {prompt: number for number, prompt in enumerate(prompts)}
        row_of = {system: number for number, system in enumerate(self.systems)}
        values = np.full((len(self.systems), len(prompts), plan.config.repeats), np.nan)
        for sample in collect(plan, view, ResultErrors()):
            where = row_of[sample.system], at[sample.task, sample.prompt_id], sample.repeat
            values[where] = value_of(sample, predictor.label, real=real)
        names = [f"{task}\0{category[task, id_]}" for task, id_ in prompts]
        return {
            "values": values,
            "rounds": np.array([self._round_of[prompt] for prompt in prompts]),
            "strata": np.unique(names, return_inverse=True)[1],
            "scale": "real" if real else "positive",
        }


def value_of(sample: Sample, predictor: str, *, real: bool) -> float:
    """Return a sample's score as comparisons take it, the lowest for an invalid one; NaN where there is none yet."""
    if sample.status == "error":
        return np.nan
    if sample.status == "invalid":
        return -np.inf if real else 0.0
    score = sample.scores.get(predictor)
    return np.nan if score is None else score


def told(looked: Looked) -> Iterator[str]:
    """Yield a line about the last look, and one if it was the last."""
    state, design = looked.state, looked.design
    if not state.look:
        return
    decided = int(np.count_nonzero(state.verdicts))
    n = design.looks[state.look - 1]
    line = (
        f"look {state.look} of {len(design.looks)}, {n} prompts: {decided} of {counted(design.n_pairs, 'pair')} decided"
    )
    left = [name for name, at in zip(looked.systems, state.left_at, strict=True) if at == state.look]
    if left and state.stop is None:
        line += f"; no more prompts for {', '.join(left)}"
    yield line
    if state.stop is not None:
        yield f"stopped after {n} prompts: {_STOPS[state.stop]}"

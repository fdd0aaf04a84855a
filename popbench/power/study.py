"""`popbench.plan`: the size of a study for a wanted power, and the power that a budget buys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import ndtr

from popbench.errors import UsageError
from popbench.leaderboard.pairs import BASIC, FEWEST_FOR_VERDICTS
from popbench.planning.config import resolve_config
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.power.measured import Assumed, UnitCost, assumed, unit_costs
from popbench.records import JSON
from popbench.runs.run_json import FILE
from popbench.stats import minimum_detectable_win_rate
from popbench.stats.power import typical_critical_value, verdict_power
from popbench.tasks.task import Task, spread

Family = Literal["all", "one", "contrasts"]
_Strata = np.ndarray[Any, np.dtype[np.int64]]

REPEATS = (1, 2, 3, 5)
"""The numbers of repeats that are compared, unless one is asked for."""
_KINDS = {"llm": "the LLM", "generator": "the generator", "predictor": "the predictor"}
MOST_PROMPTS = 5000
"""A study of more prompts is not searched for."""
_POINTS = 12
"""Points of the curve of power over prompts."""
_STEP = 1.25
"""Critical values are shared by numbers of prompts that differ by less than this factor: they change by some .01."""


@dataclass(frozen=True)
class Size:
    """A study of so many prompts, in the table that is looked at, and repeats.

    `limit` is the number of prompts per task, as `popbench eval --limit` takes it. `power` is that of a pair among all
    pairs of systems, `one_pair` that of a pair judged alone, and `contrasts` that of a mode against basic among all
    such contrasts, None without any. `usd` and `hours` are None where a component's are unknown.
    """

    prompts: int
    limit: int
    repeats: int
    clips: int
    usd: float | None
    hours: float | None
    power: float
    one_pair: float
    contrasts: float | None


@dataclass(frozen=True)
class Study:
    """Sizes of a study with their power and costs.

    `needed` has, for each number of repeats, the smallest size with the wanted power; `affordable` the largest within
    the budget, None if there is no budget; `curves` pairs of prompts and power.
    """

    plan: Plan = field(repr=False)
    effect: float
    wanted: float
    assumed: Assumed
    costs: tuple[UnitCost, ...]
    available: Size
    needed: tuple[Size, ...]
    affordable: tuple[Size, ...] | None
    curves: Mapping[int, tuple[tuple[int, float], ...]]
    table: str
    budget: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def n_systems(self) -> int:
        """The number of systems that are compared, with the human baseline if there is one."""
        return len(self.plan.systems) + (self.plan.human is not None)

    @property
    def n_pairs(self) -> int:
        """The number of pairs of systems."""
        return self.n_systems * (self.n_systems - 1) // 2

    @property
    def best(self) -> Size | None:
        """The affordable size with the highest power, of equal ones that with fewer clips; None if there is none."""
        return max(self.affordable or (), key=lambda size: (size.power, -size.clips), default=None)

    def to_json(self) -> dict[str, JSON]:
        """Return everything as JSON values."""
        values = self.assumed.values
        return {
            "systems": [system.id for system in self.plan.systems],
            "pairs": self.n_pairs,
            "table": self.table,
            "effect": self.effect,
            "wanted_power": self.wanted,
            "assumed": {
                **vars(values),
                "source": self.assumed.source,
                "prompts": self.assumed.prompts,
                "stable_is_measured": self.assumed.has_repeats,
            },
            "costs": [vars(cost) for cost in self.costs],
            "available": vars(self.available),
            "needed": [vars(size) for size in self.needed],
            "budget": dict(self.budget) or None,
            "affordable": None if self.affordable is None else [vars(size) for size in self.affordable],
            "curves": [
                {"repeats": repeats, "prompts": prompts, "power": power}
                for repeats, points in self.curves.items()
                for prompts, power in points
            ],
        }


def plan(
    *,
    effect: float = 0.6,
    power: float = 0.8,
    repeats: int | None = None,
    like: str | Path | None = None,
    usd: float | None = None,
    gpu_hours: float | None = None,
    clip_seconds: float | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> Study:
    """Find how many prompts and repeats decide a pair with a true win rate of `effect`, and what they cost.

    Nothing is run. `options` are those of `popbench.evaluate` that say what is compared: `llm`, `gen`, `mode`, `task`,
    `predictor`, `corpus`, `embedder`, `baseline`. `like` is an earlier run, of which ties, invalid samples, variances,
    costs and seconds are taken; without other options, its systems are compared. `usd` and `gpu_hours` are budgets;
    hours are those of models on one's own machines, one after the other. `clip_seconds` says how long a clip takes,
    with its draft and scores, where no run knows it.

    Raises:
        UsageError: for a number outside its range, options that are not available, or a budget in a currency in which
            a component's costs are unknown.
    """
    _check(effect, power, repeats, usd, gpu_hours, clip_seconds)
    like = None if like is None else Path(like)
    if config is None and like is not None and not options and (like / FILE).exists():
        config = like / FILE
    resolved = resolve_config(options, None if config is None else Path(config))
    resolved = replace(resolved, limit=None, shard=None, repeats=1, max_cost=None, reuse=(), stop_after=None)
    with closing(make_plan(resolved)) as made:
        known = assumed(like)
        costs = tuple(unit_costs(made, like, clip_seconds))
        sizes = Sizes(made, effect, known, costs)
        numbers = REPEATS if repeats is None else (repeats,)
        budget = {name: value for name, value in (("usd", usd), ("gpu_hours", gpu_hours)) if value is not None}
        affordable = None
        if budget:  # first: it may be refused
            found = [sizes.largest(each, usd, gpu_hours) for each in numbers]
            affordable = tuple(size for size in found if size is not None)
        needed = tuple(size for each in numbers if (size := sizes.smallest(each, power)) is not None)
        most = max([sizes.limit, *(size.limit for size in needed)])
        return Study(
            plan=made, effect=effect, wanted=power, assumed=known, costs=costs,
            available=sizes.of(sizes.limit, numbers[0]), needed=needed, affordable=affordable,
            curves={each: sizes.curve(each, most) for each in numbers}, table=sizes.table, budget=budget,
        )  # fmt: skip


def _check(effect: float, power: float, repeats: int | None, *amounts: float | None) -> None:
    if not 0.5 < effect < 1:
        raise UsageError(f"effect: expected the better system's win rate, between 0.5 and 1, not {effect:g}")
    if not 0.05 < power < 1:
        raise UsageError(f"power: expected a probability between 0.05 and 1, such as 0.8, not {power:g}")
    if repeats is not None and not 1 <= repeats <= 100:
        raise UsageError(f"repeats: expected a whole number from 1 to 100, not {repeats}")
    for name, amount in zip(("usd", "gpu_hours", "clip_seconds"), amounts, strict=True):
        if amount is not None and not 0 < amount < math.inf:
            raise UsageError(f"{name}: expected a number above 0, not {amount:g}")


class Sizes:
    """Studies of one plan, by prompts per task and repeats."""

    def __init__(self, plan: Plan, effect: float, known: Assumed, costs: Sequence[UnitCost]) -> None:
        """Raise UsageError if one system is not compared with anything, or if the effect cannot be."""
        self._plan, self._effect, self._known, self._costs = plan, effect, known, costs
        n_systems = len(plan.systems) + (plan.human is not None)
        if n_systems < 2:
            raise UsageError("one system is compared with nothing: name another --llm, --gen or --mode")
        others = sum(mode.name != BASIC for mode in plan.modes)
        has_basic = others < len(plan.modes)
        self._n_systems = n_systems
        self._contrasts = others * len(plan.llms) * len(plan.generators) if has_basic else 0
        self.table, self._tasks = min(
            tables_of(plan).items(), key=lambda item: sum(len(task.prompts) for task in item[1])
        )
        self.limit = max(len(task.prompts) for task in self._tasks)
        self._critical: dict[tuple[Family, int], float] = {}
        self._power: dict[tuple[int, int, Family], float] = {}
        reachable = 0.5 + (1 - known.values.invalid) ** 2 / 2
        if effect >= reachable:
            raise UsageError(
                f"effect: with {known.values.invalid:.0%} of the samples invalid, no win rate reaches {effect:g}: ask "
                f"for less than {reachable:.3f}"
            )

    def of(self, limit: int, repeats: int) -> Size:
        """Return the study with so many prompts per task."""
        samples = repeats * sum(self._taken(task, limit) for task in self._plan.tasks)
        local = [cost for cost in self._costs if not cost.remote]
        seconds = _total(local, [cost.seconds for cost in local], samples)
        return Size(
            prompts=len(self._strata(limit)),
            limit=limit,
            repeats=repeats,
            clips=samples * len(self._plan.systems),
            usd=_total(self._costs, [cost.usd for cost in self._costs], samples),
            hours=None if seconds is None else seconds / 3600,
            power=self.power(limit, repeats),
            one_pair=self.power(limit, repeats, "one"),
            contrasts=self.power(limit, repeats, "contrasts") if self._contrasts else None,
        )

    def power(self, limit: int, repeats: int, family: Family = "all") -> float:
        """Return the power for a pair among all pairs, for one pair, or for a contrast among all of them."""
        if (limit, repeats, family) not in self._power:
            strata, found = self._strata(limit), 0.0
            if len(strata) >= FEWEST_FOR_VERDICTS:
                critical = self._critical_value(family, limit)
                found = verdict_power(self._effect, strata, critical, repeats, self._known.values)
            self._power[limit, repeats, family] = found
        return self._power[limit, repeats, family]

    def _critical_value(self, family: Family, limit: int) -> float:
        step = round(math.log(limit, _STEP))
        if (family, step) not in self._critical:
            n_systems = {"all": self._n_systems, "one": 2, "contrasts": 2 * self._contrasts}[family]
            strata = self._strata(round(_STEP**step))  # those of the step, so that no other size has a part in it
            self._critical[family, step] = typical_critical_value(n_systems, strata, disjoint=family == "contrasts")
        return self._critical[family, step]

    def _taken(self, task: Task, limit: int) -> int:
        """Return the prompts of a task under a limit; beyond what there is, as if all tasks had more in proportion."""
        n = len(task.prompts)
        return min(limit, n) if limit <= self.limit else round(limit * n / self.limit)

    def _strata(self, limit: int) -> _Strata:
        """Return the strata of the table's prompts; beyond what a task has, as if its categories had more alike."""
        names: list[str] = []
        for task in self._tasks:
            whole, rest = divmod(self._taken(task, limit), len(task.prompts))
            taken = [*task.prompts * whole, *(spread(task.prompts, rest) if rest else ())]
            names += [f"{task.name}\0{prompt.category}" for prompt in taken]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    def smallest(self, repeats: int, power: float) -> Size | None:
        """Return the smallest study with a power; None if it has more than `MOST_PROMPTS` prompts."""
        low, high = 0, max(1, math.ceil(FEWEST_FOR_VERDICTS / len(self._tasks)))
        most = MOST_PROMPTS // len(self._tasks)
        while self.power(high, repeats) < power:
            if high >= most:
                return None
            low, high = high, min(2 * high, most)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(middle, repeats) >= power else (middle, high)
        return self.of(high, repeats)

    def largest(self, repeats: int, usd: float | None, hours: float | None) -> Size | None:
        """Return the largest study within a budget, with prompts that there are; None if none has a prompt.

        Raises UsageError if a component's costs are unknown.
        """
        one = self.of(1, repeats)
        if usd is not None and one.usd is None:
            raise UsageError(
                f"usd: what {self._unknown('usd')} costs is unknown: set its prices (its options, which `popbench "
                "plugins NAME` lists), or name a run with --like"
            )
        if hours is not None and one.hours is None:
            raise UsageError(
                f"gpu_hours: how long {self._unknown('seconds')} takes is unknown: name a run with --like, or give "
                "--clip-seconds"
            )
        samples = [sum(self._taken(task, limit) for task in self._plan.tasks) for limit in range(1, self.limit + 1)]
        within = sum(
            all(
                budget is None or (cost or 0.0) * number / samples[0] <= budget * (1 + 1e-9)
                for budget, cost in ((usd, one.usd), (hours, one.hours))
            )
            for number in samples
        )
        return self.of(within, repeats) if within else None

    def _unknown(self, name: str) -> str:
        """Name the first component whose USD or seconds are unknown."""
        return next(
            f"{_KINDS[cost.kind]} {cost.label}"
            for cost in self._costs
            if getattr(cost, name) is None and (name == "usd" or not cost.remote)
        )

    def curve(self, repeats: int, most: int) -> tuple[tuple[int, float], ...]:
        """Return prompts and power, from 10 prompts or so to `most` per task, spread evenly."""
        fewest = max(1, math.ceil(FEWEST_FOR_VERDICTS / len(self._tasks)))
        limits = {round(limit) for limit in np.linspace(min(fewest, most), most, _POINTS).tolist()}
        return tuple((len(self._strata(limit)), self.power(limit, repeats)) for limit in sorted(limits))


def tables_of(plan: Plan) -> dict[str, list[Task]]:
    """Return the tasks of each table by its name: those of a group count together, as on a board."""
    groups: dict[str, list[Task]] = {}
    for task in plan.tasks:
        groups.setdefault(task.group or task.name, []).append(task)
    return {name if len(tasks) > 1 else tasks[0].name: tasks for name, tasks in groups.items()}


def decided_from(plan: Plan) -> Iterator[tuple[str, int, int, float]]:
    """Yield what the run of a plan can find: a table, its prompts, its pairs, and the win rate decided in 4 of 5 runs.

    Tables without pairs, or with too few prompts to decide any win rate, are left out.
    """
    n_systems = len(plan.systems) + (plan.human is not None)
    n_pairs = n_systems * (n_systems - 1) // 2
    for name, tasks in tables_of(plan).items():
        prompts = [prompt for task in tasks for prompt in plan.prompts[task.name]]
        if n_pairs and prompts:
            strata = np.unique([f"{prompt.task}\0{prompt.category}" for prompt in prompts], return_inverse=True)[1]
            alpha = float(2 * ndtr(-typical_critical_value(n_systems, strata)))
            rate = minimum_detectable_win_rate(len(prompts), alpha=alpha)
            if rate is not None:
                yield name, len(prompts), n_pairs, rate


def _total(costs: Sequence[UnitCost], amounts: Sequence[float | None], samples: int) -> float | None:
    """Return the sum of amounts per call over all calls; None if one is unknown."""
    known = [amount * cost.calls for amount, cost in zip(amounts, costs, strict=True) if amount is not None]
    return samples * sum(known) if len(known) == len(costs) else None

"""What a study's power and costs depend on: taken from an earlier run, and from what components say themselves."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from popbench.errors import UsageError
from popbench.evaluation.load import load
from popbench.leaderboard.results import strata_of
from popbench.planning.pairs import opponents_of_each
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.runs.cost_estimate import estimate
from popbench.runs.costs import MADE, Kind, named
from popbench.runs.preflight import count_work
from popbench.runs.run_json import read_run_json
from popbench.scores.scores import blocks
from popbench.scores.sources import read_source
from popbench.stats.power import Assumptions, assumptions_of


@dataclass(frozen=True)
class Assumed:
    """Assumptions, with the run that they are from, if any, its prompts, and whether its repeats told `stable`."""

    values: Assumptions = field(default_factory=Assumptions)
    source: str | None = None
    has_repeats: bool = False
    prompts: int = 0


def assumed(like: Path | None) -> Assumed:
    """Measure assumptions by a run, a board or a file of scores: by its first predictor, on its largest table.

    Raises UsageError if it cannot be read, or has a single system.
    """
    if like is None:
        return Assumed()
    scores = read_source(like)[0]
    block = max(blocks(scores, common=True), key=lambda block: len(block.prompts))
    if len(block.systems) < 2:
        raise UsageError(f"{like}: it has one system, and ties and variances are those of pairs: name a run of two")
    values, has_repeats = assumptions_of(block.values, strata_of(block), block.scale)
    return Assumed(values, str(like), has_repeats, len(block.prompts))


@dataclass(frozen=True)
class UnitCost:
    """What one draft, clip, score or comparison costs: `calls` of them for each prompt and repeat.

    `usd` and `seconds` are None where unknown. Seconds are those of this project's machines, so a component that
    works elsewhere has none.
    """

    kind: Kind
    label: str
    calls: int
    usd: float | None
    seconds: float | None
    remote: bool


def unit_costs(plan: Plan, like: Path | None, clip_seconds: float | None) -> Iterator[UnitCost]:
    """Yield the cost of every component of a plan.

    What the calls of an earlier run cost counts, by label, else the component's own estimate. `clip_seconds` is what
    a clip takes, with its draft and scores, where the run does not know it.
    """
    usd = _estimated(plan)
    seconds: dict[tuple[str, str], float] = {}
    if like is not None and (like / "run.json").exists():
        usd, seconds = _of_run(like, usd)
    drafts, clips = len(plan.modes), len(plan.llms) * len(plan.modes)
    n = clips * len(plan.generators)
    kinds: list[tuple[Kind, list[Part], int]]
    kinds = [
        ("llm", plan.llms, drafts),
        ("generator", plan.generators, clips),
        ("predictor", plan.predictors, n),
    ]
    for kind, parts, calls in kinds:
        for part in parts:
            each = opponents_of_each(n, part.resolved.component.opponents) if part.pairwise else 1
            untold = clip_seconds if kind == "generator" or clip_seconds is None else 0.0
            took = seconds.get((kind, part.label), untold)
            cost = usd.get((kind, part.label))
            if cost is None and not part.remote:
                cost = 0.0
            yield UnitCost(kind, part.label, calls * each, cost, None if part.remote else took, part.remote)


def _estimated(plan: Plan) -> dict[tuple[str, str], float]:
    """Return USD per draft, clip or score, as a dry run of an empty directory estimates them."""
    found: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory(prefix="popbench-plan-") as folder:
        rows = estimate(plan, Path(folder), count_work(plan, Path(folder)))
    for row in rows:
        kind, label = named(row)
        number = row[f"{MADE[kind]}s"]
        if row["cost"] is not None and number:
            found[kind, label] = row["cost"] / number
    return found


def _of_run(
    path: Path, usd: dict[tuple[str, str], float]
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Return mean USD and mean seconds by component, with what is known already where the run knows nothing."""
    run = load(path)
    money, time = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], list[float]](list)
    stages: list[tuple[Kind, str, str]] = [("llm", "llm", "llm"), ("generator", "generator", "generate")]
    predictors = [row["name"] for row in (run.results or {}).get("predictors", [])]
    compared = (read_run_json(path).get("comparisons") or {}).get(next(iter(predictors), ""))
    # How many comparisons a sample has the cost of: half of those that it is in.
    each = (compared["comparisons"] / run.n if compared and run.n else 0.0) or 1.0
    for sample in run.samples():
        for kind, named_by, stage in stages:
            label = getattr(sample, named_by)
            if label is None:
                continue
            cost = sample.cost if kind == "llm" else sample.costs.get(stage)
            if cost is not None:
                money[kind, label].append(cost)
            if (took := sample.seconds.get(stage)) is not None:
                time[kind, label].append(took)
        if len(predictors) == 1:  # of several, a sample has the sum
            if (cost := sample.costs.get("predict")) is not None:
                money["predictor", predictors[0]].append(cost / each)
            if (took := sample.seconds.get("predict")) is not None:
                time["predictor", predictors[0]].append(took / each)
    return usd | {of: fmean(each) for of, each in money.items()}, {of: fmean(each) for of, each in time.items()}

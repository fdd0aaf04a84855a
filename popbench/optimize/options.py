"""What `popbench optimize` is asked for, checked, and the plan of all its components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import read_json, refuse_url
from popbench.interfaces import PairwisePredictor
from popbench.optimize.budget import Allowance, read_budget
from popbench.optimize.study import VARY
from popbench.planning.config import EvalConfig
from popbench.planning.plan import Plan
from popbench.planning.resolve import make_plan
from popbench.planning.systems import Part
from popbench.prompting.mode_files import BEST, PROVENANCE
from popbench.records import JSON
from popbench.registry import load_registry
from popbench.specs import parse_spec

_NOT_OF_SEARCHES: Mapping[str, Any] = {
    "baseline": (), "limit": None, "luck_repeats": 1, "reference": None, "repeats": 1, "repeats_on": None, "reuse": (),
    "shard": None, "stop_after": None, "until": None,
}  # fmt: skip
"""Settings of popbench.toml that are for studies: a search takes its prompts and clips by its budget."""


@dataclass(frozen=True)
class Options:
    """What `popbench optimize` was asked for; `config` has one LLM, generator, predictor and mode, and the tasks."""

    config: EvalConfig
    out: Path
    budget: Allowance
    judges: Sequence[str] = ()
    reflect: str | None = None
    vary: Sequence[str] = VARY

    def as_json(self, *, references: bool) -> dict[str, JSON]:
        """Return the options for optimize.json; where references come from only if there are any."""
        config = self.config
        return {
            "llm": config.llm[0], "gen": config.gen[0], "predictor": config.predictor[0], "judge": list(self.judges),
            "task": list(config.task), "start": config.mode[0], "reflect": self.reflect, "vary": list(self.vary),
            "budget": f"{self.budget.kind}={self.budget.limit:g}", "seed": config.seed,
            "corpus": config.corpus if references else None, "embedder": config.embedder if references else None,
        }  # fmt: skip


def read_options(
    config: EvalConfig, out: str, budget: str, judges: Sequence[str], reflect: str | None, vary: Sequence[str]
) -> Options:
    """Check options; raises UsageError for what makes no sense."""
    for option, specs in (("--llm", config.llm), ("--gen", config.gen), ("--predictor", config.predictor),
                          ("--from", config.mode)):  # fmt: skip
        if len(specs) != 1:
            raise UsageError(f"{option}: give exactly one: a search is for one system, and by one predictor")
    if config.max_cost is not None:
        raise UsageError("max_cost (set in popbench.toml) bounds no search, --budget usd=X does: leave it out there")
    refuse_url("out", out)
    return Options(replace(config, **_NOT_OF_SEARCHES), Path(out), read_budget(budget), judges, reflect, vary or VARY)


def plan_of(options: Options) -> Plan:
    """Return the plan of all components: the LLM that writes and the one that reflects, P and every Q."""
    config, reflect = options.config, (options.reflect,) if options.reflect else ()
    for spec in (*config.predictor, *options.judges):
        if isinstance(load_registry().resolve("predictor", spec).component, PairwisePredictor):
            raise UsageError(
                f"{spec} compares systems of a run, and a search scores candidates one by one: name another predictor"
            )
    plan = make_plan(
        replace(
            config, llm=(*config.llm, *reflect), predictor=(*config.predictor, *options.judges), out=str(options.out)
        )
    )
    p, *judges = plan.predictors
    if len(plan.predictors) != 1 + len(options.judges) or any(judge.digest == p.digest for judge in judges):
        raise UsageError(f"--judge: {p.label} is the predictor that the search goes by: name one that it does not see")
    if options.budget.kind == "gpu-hours" and not any(gpus_of(part) for part in (*plan.llms, *plan.generators)):
        raise UsageError("--budget gpu-hours: neither the LLM nor the generator uses a GPU: give clips= or usd=")
    if options.budget.kind == "usd" and not any(_priced(part) for part in (*plan.llms, *plan.generators, p)):
        raise UsageError("--budget usd: no component says what its calls cost: give clips= or gpu-hours=")
    return plan


def gpus_of(part: Part) -> float:
    """Return the number of GPUs of this machine that a component occupies."""
    needs = part.resolved.component.needs()
    return 0.0 if needs.remote else float(needs.gpus)


def _priced(part: Part) -> bool:
    usage = {"input": 1, "output": 1} if part.resolved.spec.kind == "llm" else {}
    return part.estimate(1) is not None or part.cost(usage) is not None or part.remote


def used_before(options: Options) -> str | None:
    """Return a remark if the search starts from what another one found, and has the prompts of its proof."""
    name, _ = parse_spec(options.config.mode[0])
    if not name.startswith(BEST):
        return None
    try:
        asked = read_json(Path(name.removeprefix(BEST)) / PROVENANCE)["asked"]
        same = asked["seed"] == options.config.seed and set(asked["task"]) == set(options.config.task)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # it was read as a mode, and lacks the rest
        return None
    if not same:
        return None
    return (
        f"the search started from what {name.removeprefix(BEST)} found, whose proof had the same seed and task, and so "
        "prompts of this proof: another --seed has others"
    )

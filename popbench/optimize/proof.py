"""The proof: the chosen candidate meets the start once, on prompts that the search never saw, by P and by every Q."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from popbench import stats
from popbench.audit.run import audit
from popbench.errors import PopbenchError, RunError, one_line
from popbench.evaluation.evaluate import execute
from popbench.evaluation.rounds import value_of
from popbench.interfaces.models import is_real
from popbench.leaderboard.pairs import rounded
from popbench.optimize.splits import strata
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.prompting.originality import is_copy
from popbench.records import JSON, Prompt, Sample
from popbench.runs.run import Run
from popbench.text import counted

FOLDER = "proof"
FEWEST = 10
"""Prompts below which nothing is proved."""
PROVED, NOT_PROVED = "proved", "not proved"
EXPLOITED = "proved for P, not for Q: the search exploited the predictor"


def meet(plan: Plan, progress: Progress) -> Run:
    """Make the run of the proof, or go on with it. Raises RunError while it is not complete."""
    run = execute(plan, progress)
    if run.over_budget:
        raise RunError(f"the proof is not complete: {run.over_budget.replace('--max-cost', '--budget')}")
    if not run.complete:
        lack = f"{counted(run.errors, 'sample')} without a result" if run.errors else "; ".join(run.problems)
        raise RunError(f"{run.path}: the proof is not complete ({lack}): the same command tries them again")
    return run


def judge(
    run: Run, plan: Plan, prompts: Sequence[Prompt], start: str, best: str
) -> tuple[list[dict[str, JSON]], str | None]:
    """Return a row for each predictor, P first, and the verdict; None where there are too few prompts for one.

    `start` and `best` are the systems, by their ids.
    """
    samples = {(sample.system, sample.task, sample.prompt_id): sample for sample in run.samples()}
    rows = []
    for number, part in enumerate(plan.predictors):
        real = is_real(part.resolved.component)
        values = [
            [value_of(samples[system, prompt.task, prompt.id], part.label, real=real) for prompt in prompts]
            for system in (best, start)
        ]
        rows.append(_row(part, "Q" if number else "P", np.array(values), strata(prompts), real=real))
    if len(prompts) < FEWEST:
        return rows, None
    p, *others = (row["proved"] for row in rows)
    return rows, NOT_PROVED if not p else PROVED if all(others) else EXPLOITED


def _row(part: Part, role: str, values: Any, codes: Sequence[int], *, real: bool) -> dict[str, JSON]:
    y = stats.pairwise_outcomes(values[:, :, np.newaxis], "real" if real else "positive")
    ((wins,), (ties,), (losses,)) = (counts.tolist() for counts in stats.outcome_counts(y))
    low, high = stats.korn_graubard(y, codes) if y.shape[1] > 1 else (np.zeros(1), np.ones(1))
    p = stats.win_rate_p_values(y, codes) if y.shape[1] > 1 else np.ones(1)
    found: dict[str, JSON] = rounded(
        {
            "predictor": part.label,
            "role": role,
            "n": int(y.shape[1]),
            "wins": wins,
            "losses": losses,
            "ties": ties,
            "win_rate": {"value": float(y.mean()), "low": float(low[0]), "high": float(high[0])},
            "p": float(p[0]),
        }
    )
    return {**found, "proved": bool(y.shape[1] >= FEWEST and found["win_rate"]["low"] > 0.5)}


def drafts(run: Run, start: str, best: str) -> dict[str, JSON]:
    """Return what the drafts of the two systems are like."""
    of: dict[str, list[Sample]] = {start: [], best: []}
    for sample in run.samples():
        of[sample.system].append(sample)
    return {"start": _about(of[start]), "best": _about(of[best])}


def _about(samples: Sequence[Sample]) -> dict[str, JSON]:
    written = [sample for sample in samples if sample.title is not None]
    copies = [copy for sample in written if (copy := is_copy(sample.originality)) is not None]
    return {
        "n": len(samples),
        "invalid": sum(sample.status == "invalid" for sample in samples),
        "compliance": sum(bool(sample.compliance) for sample in written) / len(written) if written else None,
        "copy_rate": sum(copies) / len(copies) if copies else None,
        "title_chars": median([len(sample.title or "") for sample in written]) if written else None,
        "video_prompt_chars": median([len(sample.video_prompt or "") for sample in written]) if written else None,
    }


def audits(
    path: Path, parts: Sequence[Part], start: str, best: str, progress: Progress
) -> tuple[dict[str, JSON], list[str]]:
    """Audit the predictors of a proof that work here; return what the audits say by label, and remarks on others.

    A predictor that works elsewhere would cost beyond the budget, and one that sees titles or videos alone has nothing
    to be told apart.
    """
    found: dict[str, JSON] = {}
    remarks = []
    for part in parts:
        if part.remote:
            remarks.append(f"{part.label} was not audited, since it works elsewhere and may cost money: popbench "
                           f"predictor audit {path} does it")  # fmt: skip
            continue
        if not {"title", "video"} <= set(part.uses):
            continue
        try:
            (entry,) = audit(path, [part.resolved.spec.text], progress=progress)["audits"]
        except PopbenchError as error:
            remarks.append(f"{part.label} could not be audited: {one_line(error, 200)}")
            continue
        found[part.label] = {
            "equal_titles": _at_equal_titles(entry.get("equal_titles"), start, best),
            "title_share": next((row["share"] for row in entry["rows"] if row["change"] == "title"), None),
        }
    return found, remarks


def _at_equal_titles(entry: Mapping[str, Any] | None, start: str, best: str) -> JSON:
    """Return the best's win rate where both have the same titles; None where that is unknown."""
    for pair in (entry or {}).get("pairs", ()):
        if {pair["a"], pair["b"]} == {start, best}:
            rate = pair["win_rate"]
            value, low, high = rate["value"], *rate["exact"]
            turned = pair["a"] == start
            return rounded({"win_rate": {"value": 1 - value, "low": 1 - high, "high": 1 - low} if turned else
                            {"value": value, "low": low, "high": high}, "n": pair["n"]})  # fmt: skip
    return None

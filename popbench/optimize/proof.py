"""The proof: the chosen candidate meets the start once, on prompts that the search never saw, by P and by every Q."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from popbench.audit.run import audit
from popbench.errors import PopbenchError, RunError, one_line
from popbench.evaluation.evaluate import execute
from popbench.evaluation.rounds import value_of
from popbench.interfaces.models import is_real
from popbench.leaderboard.pairs import flipped
from popbench.optimize.splits import strata
from popbench.optimize.verdict import compared
from popbench.planning.plan import Plan
from popbench.planning.systems import Part
from popbench.progress import Progress
from popbench.prompting.originality import is_copy
from popbench.records import JSON, Prompt, Sample
from popbench.runs.run import Run
from popbench.text import counted

FOLDER = "proof"


def meet(plan: Plan, progress: Progress) -> Run:
    """Make the run of the proof, or go on with it. Raises RunError while it is not complete."""
    run = execute(plan, progress)
    if run.over_budget:
        raise RunError(f"the proof is not complete: {run.over_budget.replace('--max-cost', '--budget')}")
    if not run.complete:
        lack = f"{counted(run.errors, 'sample')} without a result" if run.errors else "; ".join(run.problems)
        raise RunError(f"{run.path}: the proof is not complete ({lack}): the same command tries them again")
    return run


def judge(run: Run, plan: Plan, prompts: Sequence[Prompt], start: str, best: str) -> list[dict[str, JSON]]:
    """Return a row for each predictor, P first; `start` and `best` are the systems, by their ids."""
    samples = {(sample.system, sample.task, sample.prompt_id): sample for sample in run.samples()}
    rows = []
    for number, part in enumerate(plan.predictors):
        real = is_real(part.resolved.component)
        values = [
            [value_of(samples[system, prompt.task, prompt.id], part.label, real=real) for prompt in prompts]
            for system in (best, start)
        ]
        row = compared(np.array(values[0]), np.array(values[1]), strata(prompts), real=real)
        rows.append({"predictor": part.label, "role": "Q" if number else "P", **row})
    return rows


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
            if pair["a"] == start:
                pair = flipped(pair)
            low, high = pair["win_rate"]["exact"]
            return {"win_rate": {"value": pair["win_rate"]["value"], "low": low, "high": high}, "n": pair["n"]}
    return None

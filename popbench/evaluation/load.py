"""`popbench.load`: the outcome of a run that was made earlier, from its directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from popbench.errors import UsageError
from popbench.evaluation.finish import SampleCounts
from popbench.runs.run import Run
from popbench.runs.run_json import read_run_json


def load(path: str | Path) -> Run:
    """Return the run in a directory: what `evaluate` returned, without running anything.

    `Run.finished` is False for a run that is at work or was killed; its samples are those of the command before, if
    there was one. `Run.complete` says whether every sample has a result. Raises UsageError for what is no run
    directory, and for damaged files.
    """
    folder = Path(path)
    run_json = read_run_json(folder)
    counts = SampleCounts()
    file = folder / "samples.jsonl"
    if file.exists():
        for sample in Run(folder, run_json["demo"]).samples():
            counts.add(sample)
    elif run_json["finished"]:
        raise UsageError(f"{folder}: samples.jsonl is missing: give the run's command again, which writes it")
    run = Run(folder, run_json["demo"])
    others = [row for row in (run.results or {}).get("costs") or [] if "llm" not in row]
    return replace(
        run,
        n=counts.n,
        errors=counts.errors,
        invalid=counts.invalid,
        costs=(*counts.totals.rows(), *others),
        reasons=tuple(counts.reasons.most_common()),
        remarks=tuple(counts.answers.remarks()),
        unusable=counts.answers.unusable(),
        finished=run_json["finished"],
    )

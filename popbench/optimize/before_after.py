"""Drafts and clips of the proof, before and after, as the page of a search shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popbench.leaderboard.shown import number
from popbench.records import Sample
from popbench.report.clips import PageClip, page_clips
from popbench.report.numbers import DASH
from popbench.runs.samples import read_jsonl

_PAIRS = 5
"""Prompts of which the page shows the drafts before and after."""


def before_after(
    folder: Path, page: Path, proof: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], dict[str, PageClip]]:
    """Return prompts of the proof with the drafts of both systems, evenly spaced by how much the best one gains."""
    if proof is None:
        return [], {}
    run = folder / str(proof["run"])
    if not run.resolve().is_relative_to(folder.resolve()) or not (run / "samples.jsonl").exists():
        return [], {}
    systems = proof["systems"]
    by_prompt: dict[tuple[str, str], dict[str, Sample]] = {}
    for sample in read_jsonl(run / "samples.jsonl"):
        if sample.status == "ok" and sample.video:
            by_prompt.setdefault((sample.task, sample.prompt_id), {}).setdefault(sample.system, sample)
    both = [
        (of[systems["start"]], of[systems["best"]]) for of in by_prompt.values() if {*systems.values()} <= of.keys()
    ]
    both.sort(key=lambda pair: _gained(*pair), reverse=True)
    count = min(_PAIRS, len(both))
    chosen = [both[round(at * (len(both) - 1) / max(1, count - 1))] for at in range(count)]
    clips = page_clips(run, page, (sample.video for pair in chosen for sample in pair))
    predictors = [(row["predictor"], row["role"]) for row in proof["predictors"]]
    return [
        {
            "prompt": before.prompt,
            "category": before.category,
            "sides": [
                {
                    "name": name,
                    "sample": sample,
                    "scores": [
                        (
                            f"{role} {label}",
                            DASH if sample.scores.get(label) is None else number(sample.scores[label] or 0),
                        )
                        for label, role in predictors
                    ],
                }
                for name, sample in (("before", before), ("after", after))
            ],
            "won": _gained(before, after) > 0,
        }
        for before, after in chosen
    ], clips


def _gained(before: Sample, after: Sample) -> float:
    return float(after.popularity or 0) - float(before.popularity or 0)

"""Runs whose clips an audience with known tastes has voted on, and what became of them, for tests of boards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from popbench.records import Sample
from popbench.runs.samples import read_jsonl
from run_folders import make_run

A, B, C = "a|basic|x", "b|pe|x", "c|basic|x"


def make_voted_run(path: Path, systems: Sequence[str] = (A, B, C), prompts: int = 30, **more: Any) -> Path:
    """Write a finished run without clips, each sample of which has a name and a hash of a clip of its own."""
    count = iter(range(10**6))

    def change(values: dict[str, Any]) -> None:
        number = next(count)
        values |= {"video": f"videos/{number:04d}.mp4", "video_sha256": f"{number:064x}"}

    more = {"tasks": ("concrete", "abstract"), "predictors": ("mmra",), **more}
    return make_run(path, systems, prompts=prompts, change=change, clip=False, **more)


def scores_of(run: Path, predictor: str = "mmra") -> dict[tuple[str, str, str], float]:
    """Return the scores of a run by system, task and prompt."""
    return {(of.system, of.task, of.prompt_id): of.scores[predictor] or 0.0 for of in read_jsonl(run / "samples.jsonl")}


def vote(prompt: int, choice: str, voter: int = 0, left: str = A, right: str = B, **more: Any) -> dict[str, Any]:
    """Return a line of votes.jsonl on a prompt of the task concrete, of a ballot whose key is gone."""
    return {
        "ballot": "0" * 16, "pair": f"{prompt:016x}", "task": "concrete", "prompt_id": f"concrete-{prompt:04d}",
        "category": ("Anime", "Game")[prompt % 2], "repeat": 0, "left": left, "right": right, "choice": choice,
        "question": "?", "voter": f"{voter:016x}", "name": "", "seconds": 1.0, "at": "2026-01-01T00:00:00+0000", **more,
    }  # fmt: skip


def write_lines(file: Path, lines: Sequence[Any]) -> None:
    """Write lines of JSON."""
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@cache
def _samples(file: Path, _: int) -> dict[tuple[str, str], Sample]:
    return {(of.system, of.prompt_id): of for of in read_jsonl(file)}


def label(run: Path, system: str, prompt: int, count: float, exposure: float | None = None) -> dict[str, Any]:
    """Return a line of labels.jsonl."""
    prompt_id = f"concrete-{prompt:04d}"
    file = run / "samples.jsonl"
    sample = _samples(file, file.stat().st_mtime_ns)[system, prompt_id]
    return {
        "system": system, "task": "concrete", "prompt_id": prompt_id, "category": sample.category, "repeat": 0,
        "video": sample.video, "video_sha256": sample.video_sha256, "measure": "views", "count": count,
        "exposure": exposure, "exposure_in": None if exposure is None else "days",
    }  # fmt: skip


def audience(
    prefers: Callable[[int], float], prompts: Sequence[int], voters: int, rng: np.random.Generator, **more: Any
) -> list[dict[str, Any]]:
    """Return a vote on each prompt by one of the voters, sides in turn; `prefers` is how much a is liked more."""
    votes = []
    for number, prompt in enumerate(prompts):
        left, right = (A, B) if number % 2 else (B, A)
        liked = prefers(prompt) + 0.7 * rng.standard_normal()
        first = (liked if left == A else -liked) + 0.3 > 0
        votes.append(vote(prompt, "left" if first else "right", int(rng.integers(voters)), left, right, **more))
    return votes

"""Run directories that are written as files, without a run, for tests of pages. All samples have one tiny clip."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from popbench.leaderboard.results import compute
from popbench.records import Sample
from popbench.runs.costs import totals
from popbench.runs.samples import write_jsonl
from popbench.scores.run_scores import from_samples
from popbench.video import write_mp4

TITLES = ["Leaderboard", "All predictors", "Who beats whom", "Popularity", "Does prompt enhancement help?", "Drafts"]
SYSTEMS = ("gpt|basic|ltx", "gpt|pe|ltx", "gpt|pe[k=50]|ltx", "qwen|basic|ltx", "qwen|pe|ltx", "qwen|pe[k=50]|ltx")
_TEXT = "A slow push through a market at dusk, lanterns swaying, a child laughing at a paper dragon. "
_K = {"pe": 10, "pe[k=50]": 50}

Change = Callable[[dict[str, Any]], None]


def make_run(
    path: Path,
    systems: Sequence[str] = SYSTEMS,
    tasks: Sequence[str] = ("concrete", "abstract"),
    prompts: int = 10,
    predictors: Sequence[str] = ("mmra", "second"),
    change: Change | None = None,
    long: int = 1,
    clip: bool = True,
) -> Path:
    """Write run.json, samples.jsonl, results.json and one clip; `change` edits a sample's values, `long` its texts."""
    (path / "videos").mkdir(parents=True)
    rng = random.Random(7)
    samples = [
        _sample(rng, system, place, task, number, predictors, long, change)
        for place, system in enumerate(systems)
        for task in tasks
        for number in range(prompts)
    ]
    if clip:
        frames = np.full((12, 32, 48, 3), 90, np.uint8)
        frames[:, :, :24] = np.arange(12, dtype=np.uint8)[:, None, None, None] * 20
        write_mp4(frames, 8, path / "videos/clip.mp4")
    modes = sorted({parts[1] for system in systems if len(parts := system.split("|")) == 3})
    about: Any = {
        "schema": 1,
        "finished": True,
        "demo": False,
        "config": {"seed": 42, "repeats": 1, "stop_after": None, "corpus": "demo"},
        "tasks": {task: {"hash": f"hash-{task}", "group": "both", "n": prompts, "prompts": prompts} for task in tasks},
        "modes": {
            mode: {
                "name": mode.partition("[")[0],
                "options": {"k": _K[mode]} if mode in _K else {},
                "fingerprints": dict.fromkeys(tasks, mode),
            }
            for mode in modes
        },
        "notes": {},
        "references": None,
        "components": {},
        "systems": {system: dict.fromkeys(tasks, system) for system in systems},
        "predictors": {predictor: f"fingerprint-{predictor}" for predictor in predictors},
        "units": dict.fromkeys(predictors, "comments"),
        "versions": {"popbench": "1"},
        "machine": {"platform": "made", "cpus": 1, "gpus": []},
        "timings": {"started": "2026-01-01T00:00:00+0000"},
    }
    write_jsonl(samples, path / "samples.jsonl")
    results = {**compute(from_samples(samples, about, str(path)), common=True), "costs": totals(samples)}
    (path / "run.json").write_text(json.dumps(about), encoding="utf-8")
    (path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def _sample(
    rng: random.Random,
    system: str,
    place: int,
    task: str,
    number: int,
    predictors: Sequence[str],
    long: int,
    change: Change | None,
) -> Sample:
    llm, mode, generator = system.split("|") if system.count("|") == 2 else (None, None, None)
    better = 1.2 * ("pe" in (mode or "")) + 0.15 * place
    values: dict[str, Any] = {
        "system": system,
        "llm": llm,
        "mode": mode,
        "generator": generator,
        "task": task,
        "prompt_id": f"{task}-{number:04d}",
        "prompt": f"Show me something {task} about number {number}.",
        "category": ("Anime", "Game")[number % 2],
        "repeat": 0,
        "status": "ok",
        "title": f"The {number}th wonder of {llm or 'someone'}",
        "video_prompt": _TEXT * 3,
        "completion": f"{rng.random()} {_TEXT * 8 * long}",
        "reasoning": f"{rng.random()} {_TEXT * 5 * long}" if mode != "basic" else None,
        "references": tuple(f"video-{rng.randrange(500)}" for _ in range(_K.get(mode or "", 0))),
        "compliance": rng.random() < 0.9,
        "originality": rng.random() if mode in _K else None,
        "attempts": 1,
        "video": "videos/clip.mp4",
        "video_sha256": "0" * 64,
        "scores": {predictor: rng.lognormvariate(3 + better, 1) for predictor in predictors},
        "seconds": {"llm": rng.lognormvariate(1, 0.5), "generate": rng.lognormvariate(3, 0.2), "predict": 0.04},
        "peak_memory_mb": {"llm": None, "generate": 24_000.0, "predict": 900.0},
        "usage": {"input": 400, "output": 210},
        "cost": 0.0021,
    }
    if change is not None:
        change(values)
    values.setdefault("popularity", next(iter(values["scores"].values())))
    return Sample(**values)


def results_of(run: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return results

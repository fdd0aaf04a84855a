"""Run directories with a clip of its own for each sample, whose files name their systems, for tests of ballots."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from popbench.video import write_mp4
from run_folders import make_run

SYSTEMS = ("gemma-secret|basic|ltx-secret", "qwen-secret|pe|wan-secret", "human-like-secret|basic|ltx-secret")
TASKS = ("concrete", "abstract")
SIDES = ("left", "right")


def make_ballot_run(
    path: Path,
    systems: Sequence[str] = SYSTEMS,
    prompts: int = 8,
    size: tuple[int, int] = (32, 48),
    seconds: float = 1,
) -> Path:
    """Write a finished run whose clips, of `size` (height, width), and their metadata tell who made them."""
    numbers: dict[str, int] = {}

    def change(values: dict[str, Any]) -> None:
        name = f"{len(numbers):04d}"
        numbers[name] = systems.index(str(values["system"]))
        values |= {"video": f"videos/{name}.mp4", "video_sha256": f"{len(numbers):064x}"}
        values["title"] = f"A wonder, take {len(numbers)}"

    make_run(path, systems, TASKS, prompts, ("mmra",), change, clip=False)
    for name, system in numbers.items():
        _write_clip(path / f"videos/{name}.mp4", int(name), systems[system], size, seconds)
    return path


def _write_clip(file: Path, number: int, system: str, size: tuple[int, int], seconds: float) -> None:
    height, width = size
    frames = np.full((max(2, round(8 * seconds)), height, width, 3), (40 + 31 * number) % 200, np.uint8)
    for at, frame in enumerate(frames):
        start = width * at // len(frames)
        frame[:, start : start + max(2, width // 6)] = ((90 * number) % 255, 200, (53 * number) % 255)
    write_mp4(frames, 8, file, {"title": system, "comment": f"made by {system}"})


def no_scores(run: Path) -> None:
    """Take away what a run of clips alone does not have: results, predictors and scores."""
    (run / "results.json").unlink()
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    about |= {"predictors": {}, "units": {}, "config": {**about["config"], "stop_after": "render"}}
    (run / "run.json").write_text(json.dumps(about), encoding="utf-8")


def key_of(run: Path) -> dict[str, Any]:
    """Return the key of a run's only ballot."""
    (file,) = (run / "ballots").glob("*.json")
    key: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return key


Choose = Callable[[dict[str, Any]], str]


def best_of(order: Sequence[str]) -> Choose:
    """Return a voter who prefers earlier systems, and passes all attention checks; what it is given is as shown."""

    def choose(pair: dict[str, Any]) -> str:
        if pair["check"] == "same":
            return "tie"
        rank = [len(order) if pair[side]["system"] is None else order.index(pair[side]["system"]) for side in SIDES]
        return SIDES[rank.index(min(rank))]

    return choose


def votes_of(key: dict[str, Any], choose: Choose, voter: int = 0, name: str = "") -> dict[str, Any]:
    """Return what the page would export; voters of odd numbers see all pairs the other way round."""
    votes = []
    made = datetime.fromisoformat(key["made"])
    for number, pair in enumerate(key["pairs"]):
        left, right = (pair["right"], pair["left"]) if voter % 2 else (pair["left"], pair["right"])
        choice = choose({**pair, "left": left, "right": right})
        at = (made + timedelta(seconds=3 * number, milliseconds=voter)).isoformat()
        votes.append({"pair": pair["id"], "left": left["id"], "choice": choice, "seconds": 2.5, "at": at})
    return {"schema": 1, "ballot": key["ballot"], "voter": f"{voter:016x}", "name": name, "votes": votes}


def write_votes(file: Path, votes: Any) -> Path:
    file.write_text(votes if isinstance(votes, str) else json.dumps(votes), encoding="utf-8")
    return file

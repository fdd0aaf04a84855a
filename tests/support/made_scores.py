"""Made-up scores for tests: the rows of a score file, and the results or refusals of compute()."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.leaderboard.results import compute
from popbench.scores.rows import ScoreRow
from popbench.scores.scores import Scores, merge
from popbench.scores.sources import read_source
from usage_errors import refusal

Row = dict[str, Any]


def score_rows(
    systems: Sequence[str] = ("a|basic|g", "a|pe|g", "b|basic|g"),
    tasks: Sequence[str] = ("t",),
    prompts: int = 12,
    repeats: int = 1,
    **more: Any,
) -> list[Row]:
    """Return rows of every system on every prompt, in two categories; later systems are better."""
    rng = random.Random(1)
    return [
        {
            "system": system,
            "task": task,
            "prompt_id": f"p{prompt:02d}",
            "popularity": round(rng.lognormvariate(2 + place, 1), 3),
            "category": "xy"[prompt % 2],
            **({"repeat": repeat} if repeats > 1 else {}),
            **more,
        }
        for task in tasks
        for place, system in enumerate(systems)
        for prompt in range(prompts)
        for repeat in range(repeats)
    ]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def results_of(tmp_path: Path, rows: Iterable[Mapping[str, Any]], common: bool = False) -> dict[str, Any]:
    return compute(merge(read_source(write(tmp_path / "scores.jsonl", rows))), common=common)


def refused(tmp_path: Path, rows: Iterable[Mapping[str, Any]], common: bool = False) -> str:
    return refusal(lambda: results_of(tmp_path, rows, common))


def changed(at: int = 3, **change: Any) -> list[Row]:
    rows = score_rows()
    rows[at] |= change
    return rows


def scores(demo: bool = False, digest: str | None = "d", systems: Any = None, predictor: str = "p") -> Scores:
    """Return three scores of every system, as if read from a run."""
    rows = [
        ScoreRow(system, "t", f"p{n}", 0, "c", "ok", 1.0 + n) for system in systems or {"a": None} for n in range(3)
    ]
    tasks: dict[str, dict[str, Any]] = {"t": {"hash": "h", "group": None}}
    return Scores(predictor, digest, "comments", demo, rows, tasks, systems or {"a": None}, f"run-{demo}-{digest}")


def grouped(prompts: int = 12) -> list[Scores]:
    """Scores on three tasks, of which two are a group."""
    rows = [
        ScoreRow(row["system"], row["task"], row["prompt_id"], 0, row["category"], "ok", row["popularity"])
        for row in score_rows(tasks=("t1", "t2", "t3"), prompts=prompts)
    ]
    groups = {"t1": "g", "t2": "g", "t3": None}
    tasks: dict[str, dict[str, Any]] = {name: {"hash": "h", "group": group} for name, group in groups.items()}
    systems: dict[str, Any] = {row.system: None for row in rows}
    return [Scores("p", "d", "comments", False, rows, tasks, systems, "run")]

"""A run that is looked at before more prompts are added says so; one whose number of prompts was fixed does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench.records import JSON


def run(folder: Path, **options: Any) -> dict[str, JSON]:
    settings: dict[str, Any] = {"llm": ["verbatim", "shotlist"], "mode": "basic", "task": "popcorn_concrete"}
    popbench.evaluate(**{**settings, **options}, out=folder)
    content: dict[str, JSON] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def told(folder: Path) -> list[str]:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return [line for line in results["remarks"] if line.startswith("The results were looked at before")]


def test_prompts_that_are_added_after_a_look_are_told_on_the_board(tmp_path: Path) -> None:
    assert "looks" not in run(tmp_path, limit=2)
    assert told(tmp_path) == []
    assert run(tmp_path, limit=3)["looks"] == [{"popcorn_concrete": 2}]
    assert run(tmp_path, limit=4)["looks"] == [{"popcorn_concrete": 2}, {"popcorn_concrete": 3}]
    (line,) = told(tmp_path)
    assert line.startswith("The results were looked at before, with 2 and 3 prompts.")
    assert line in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    # The same again is no new look.
    assert run(tmp_path, limit=4)["looks"] == [{"popcorn_concrete": 2}, {"popcorn_concrete": 3}]


def test_fewer_prompts_or_others_systems_are_no_look(tmp_path: Path) -> None:
    run(tmp_path, limit=3)
    assert "looks" not in run(tmp_path, limit=2)
    run(tmp_path / "other", limit=2, llm=["verbatim", "shotlist,label=s"])
    assert "looks" not in run(tmp_path / "other", limit=3)


@pytest.mark.parametrize("stop", ["write", "render"])
def test_what_was_stopped_before_scores_was_not_looked_at(tmp_path: Path, stop: str) -> None:
    run(tmp_path, limit=2, stop_after=stop)
    assert "looks" not in run(tmp_path, limit=3)


def test_a_killed_command_keeps_the_looks_of_before(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    run(tmp_path, limit=3)
    file = tmp_path / "run.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["finished"] = False
    file.write_text(json.dumps(content), encoding="utf-8")
    assert run(tmp_path, limit=4)["looks"] == [{"popcorn_concrete": 2}]

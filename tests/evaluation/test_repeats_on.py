"""Repeats on a part of the prompts tell how much is luck; the board is that of one repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import popbench
from command_line import Run, in_process

GEN = "kinetic,width=64,height=64,frames=4"
SETTINGS: dict[str, Any] = {"llm": "shotlist", "corpus": "demo", "task": "popcorn_concrete", "gen": GEN, "limit": 20}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("luck") / "run"
    popbench.evaluate(**SETTINGS, repeats=3, repeats_on="50%", out=out)
    return out


def results(run: Path) -> Any:
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def test_the_board_is_that_of_one_repeat_and_says_how_much_is_luck(made: Path, tmp_path: Path) -> None:
    popbench.evaluate(**SETTINGS, out=tmp_path / "one")
    one, ours = results(tmp_path / "one"), results(made)
    (luck,) = ours.pop("luck")
    assert (luck["n"], luck["repeats"]) == (10, 3)
    for name in ("systems", "pairs", "enhancement", "families"):
        assert ours[name] == one[name]
    board = (made / "leaderboard.md").read_text(encoding="utf-8")
    assert "from 3 repeats of 10 prompts" in board
    assert "do not tell the two apart" not in board
    assert "do not tell the two apart" in (tmp_path / "one/leaderboard.md").read_text(encoding="utf-8")


def test_luck_is_that_of_a_run_with_these_repeats(made: Path, tmp_path: Path) -> None:
    popbench.evaluate(**{**SETTINGS, "limit": 10}, repeats=3, out=tmp_path / "few")
    assert results(made)["luck"] == results(tmp_path / "few")["luck"]


def test_the_same_command_makes_nothing_again_and_the_run_is_as_any_other(made: Path, run: Run, tmp_path: Path) -> None:
    before = (made / "results.json").read_bytes()
    done = run("eval", "--config", made / "run.json", "--out", made)
    assert done.status == 0
    assert "already done" in done.err
    assert (made / "results.json").read_bytes() == before
    assert "finished" in run("status", made).out
    assert run("report", made, "--out", tmp_path / "page.html").status == 0
    shown = run("eval", "--config", made / "run.json", "--out", tmp_path / "new", "--dry-run")
    assert "10 prompts of them have 3 samples" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--repeats-on", "20%"], "give --repeats of 2 or more"),
        (["--repeats", 2, "--repeats-on", "0"], "expected a percentage of the prompts"),
        (["--repeats", 2, "--repeats-on", "101%"], "expected a percentage of the prompts"),
        (["--repeats", 2, "--repeats-on", "9%", "--until", "best"], "leave out --until"),
        (["--repeats", 2, "--repeats-on", "9%", "--shard", "1/2"], "leave out --shard"),
    ],
)
def test_what_makes_no_sense_is_one_line(words: list[Any], said: str, run: Run) -> None:
    done = run("eval", *words)
    assert done.status == 2
    assert said in done.line

"""Runs, and a board that one of them began, for tests of adding to boards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command_line import Run, in_process
from made_boards import begin, evaluate


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of other systems on the same task, and of what is not comparable to them."""
    runs = tmp_path_factory.mktemp("runs")
    evaluate(runs / "one")
    evaluate(runs / "two", llm="faulty,label=third")
    return runs


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    call = in_process(monkeypatch, capsys, tmp_path)
    return lambda *arguments: call("leaderboard", *arguments)


@pytest.fixture(scope="session")
def begun(made: Path) -> Path:
    return begin(made / "board", made / "two")


@pytest.fixture
def board(begun: Path, tmp_path: Path) -> Path:
    """A board that the second run began."""
    return Path(shutil.copytree(begun, tmp_path / "board"))

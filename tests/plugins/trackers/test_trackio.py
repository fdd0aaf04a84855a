"""The tracker `trackio`, with Trackio itself on this machine: what its own reader gives is the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process
from popbench import testing
from popbench_trackers.names import names
from popbench_trackers.trackio_runs import Trackio
from tracked_runs import board_numbers, odd_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_run(tmp_path_factory.mktemp("trackio") / "run")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, made: Path) -> Run:
    shutil.copytree(made, tmp_path / "run")
    return in_process(monkeypatch, capsys, tmp_path)


def runs(project: str) -> list[Any]:
    """Return a project's runs. Trackio is imported late: it takes its folder from the environment then."""
    import trackio

    return list(trackio.Api().runs(project))


def logged(stored: Any) -> dict[str, Any]:
    """Return everything that a run of Trackio has logged, by name."""
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs(stored.project, stored.name, run_id=stored.id)
    return {name: value for log in logs for name, value in log.items()}


def test_the_numbers_that_trackio_reads_are_those_of_results_json(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("track", "run", "--to", "trackio,project=numbers,clips=3")
    assert (done.status, done.err) == (0, "")
    (stored,) = runs("numbers")
    assert done.out == f"trackio: run {stored.name}, project numbers (trackio show)\n"
    values = logged(stored)
    expected = board_numbers(made)
    named = names((*key[:3], " vs ".join(key[3:])) for key in expected)
    assert {key: values[named[(*key[:3], " vs ".join(key[3:]))]] for key in expected} == expected
    assert (stored.config["seed"], stored.config["mode"], stored.config["state"]) == (42, "basic", "complete")
    systems = json.loads((made / "results.json").read_text(encoding="utf-8"))["systems"]
    assert [row["system"] for row in values["board"]["_value"]] == [row["system"] for row in systems]
    low, high = systems[0]["mean_win_rate_interval"]
    shown = f"{systems[0]['mean_win_rate']:.4g} [{low:.4g}, {high:.4g}]"
    assert values["board"]["_value"][0]["mean_win_rate"] == shown
    rows = values["samples"]["_value"]
    assert len(rows) == 2 * 4 * 2
    assert {"system", "prompt", "title", "popularity"} <= set(rows[0])
    clips = [value for name, value in values.items() if name.startswith("clips/")]
    assert [clip["_type"] for clip in clips] == ["trackio.video"] * 3
    assert not list(tmp_path.glob("*trackio*"))


def test_a_run_that_is_handed_over_twice_is_there_once(run: Run) -> None:
    for _ in range(2):
        assert run("track", "run", "--to", "trackio,project=twice,rows=0,clips=0").status == 0
    (stored,) = runs("twice")
    assert "samples" not in logged(stored)


def test_what_trackio_loses_is_an_error_and_the_run_of_before_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of that in a warning, and goes on."""
    assert run("track", "run", "--to", "trackio,project=lost").status == 0
    (before,) = runs("lost")
    monkeypatch.setattr("trackio.sqlite_storage.SQLiteStorage.bulk_log", staticmethod(lambda **_: 1 / 0))
    done = run("track", "run", "--to", "trackio,project=lost,clips=0")
    assert done.status == 1
    assert "Trackio has not taken all of the run" in done.line
    assert before.id in {each.id for each in runs("lost")}


def test_a_space_needs_a_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = run("track", "run", "--to", "trackio,space=lab/boards")
    assert (done.status, done.line) == (
        2, "popbench: tracker trackio: a Space needs a token of the hub: give it with `hf auth login`, or in HF_TOKEN",
    )  # fmt: skip


def test_trackio_keeps_the_rules_of_trackers() -> None:
    assert testing.check_tracker(Trackio(Trackio.Options(project="kit"))).ok

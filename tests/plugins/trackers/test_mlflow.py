"""The tracker `mlflow`, with MLflow itself and its folder of files: what its own client reads back is the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import popbench
from command_line import Run, in_process
from made_boards import edit
from popbench import testing
from popbench_trackers.mlflow_runs import MLflow
from popbench_trackers.names import names
from tracked_runs import board_numbers, odd_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_run(tmp_path_factory.mktemp("mlflow") / "run")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, made: Path) -> Run:
    shutil.copytree(made, tmp_path / "run")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """MLflow's own client, in a process that allows it to read a folder."""

    def make() -> MlflowClient:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
            return MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())

    return make


def runs(client: MlflowClient, experiment: str = "popbench") -> list[Any]:
    (found,) = [each for each in client.search_experiments() if each.name == experiment]
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))


def test_the_numbers_that_mlflow_s_client_reads_are_those_of_results_json(run: Run, client: Any, made: Path) -> None:
    done = run("track", "run", "--to", "mlflow")
    assert (done.status, done.err) == (0, "")
    (stored,) = runs(client())
    assert done.out == f"mlflow: run run ({stored.info.run_id}), experiment popbench in mlruns\n"
    expected = board_numbers(made)
    named = names((*key[:3], " vs ".join(key[3:])) for key in expected)
    read = {key: stored.data.metrics[named[(*key[:3], " vs ".join(key[3:]))]] for key in expected}
    assert read == expected
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "run"
    assert (stored.data.params["seed"], stored.data.params["mode"]) == ("42", "basic")
    assert stored.data.tags["popbench.state"] == "complete"
    assert stored.data.tags["mlflow.note.content"].startswith("# popbench leaderboard")


def test_board_results_samples_and_clips_are_artifacts(run: Run, client: Any, made: Path, tmp_path: Path) -> None:
    run("track", "run", "--to", "mlflow,clips=3,experiment=cats")
    (stored,) = runs(client(), "cats")
    (tmp_path / "back").mkdir()
    folder = Path(client().download_artifacts(stored.info.run_id, "", str(tmp_path / "back")))
    assert (folder / "leaderboard.md").read_bytes() == (made / "leaderboard.md").read_bytes()
    systems = json.loads((made / "results.json").read_text(encoding="utf-8"))["systems"]
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["systems"] == systems
    assert (folder / "samples.parquet").stat().st_size
    clips = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.mp4"))
    assert len(clips) == 3
    assert clips[0] == "clips/cats/p00/org_model_free basic kinetic_frames_2_.mp4"


def test_a_run_that_is_handed_over_twice_is_one_run_of_mlflow(run: Run, client: Any) -> None:
    for _ in range(2):
        assert run("track", "run", "--to", "mlflow").status == 0
    (stored,) = runs(client())
    assert stored.info.status == "FINISHED"


def test_a_run_whose_settings_have_changed_is_a_second_one_that_replaces_the_first(
    run: Run, client: Any, tmp_path: Path
) -> None:
    """MLflow lets nobody change the settings of a run."""
    run("track", "run", "--to", "mlflow")
    edit(tmp_path / "run/run.json", lambda about: about["config"].update(repeats=3))
    for _ in range(2):
        assert run("track", "run", "--to", "mlflow").status == 0
    first, second = runs(client())
    assert first.data.tags["popbench.replaced_by"] == second.info.run_id
    assert "popbench.replaced_by" not in second.data.tags
    assert (first.data.params["repeats"], second.data.params["repeats"]) == ("1", "3")


def test_a_run_that_was_killed_while_it_was_handed_over_is_completed_by_the_next(
    run: Run, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", dies)
        assert run("track", "run", "--to", "mlflow").status == 9
    (half,) = runs(client())
    assert half.info.status == "FAILED"
    assert run("track", "run", "--to", "mlflow").status == 0
    (whole,) = runs(client())
    assert (whole.info.run_id, whole.info.status) == (half.info.run_id, "FINISHED")


def test_an_experiment_that_is_deleted_is_told_in_one_line(run: Run, client: Any) -> None:
    run("track", "run", "--to", "mlflow")
    (stored,) = runs(client())
    client().delete_experiment(stored.info.experiment_id)
    done = run("track", "run", "--to", "mlflow")
    assert done.status == 1
    assert "experiment 'popbench' is deleted: restore it, or give another experiment=" in done.line
    assert run("track", "run", "--to", "mlflow,experiment=other").status == 0


def test_a_server_that_is_not_there_is_told_in_one_line_and_soon(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = run("track", "run", "--to", "mlflow")
    assert done.status == 1
    assert done.line.startswith("popbench: tracker mlflow: ")
    assert "hunter2" not in done.line
    assert not (tmp_path / "mlruns").exists()


def test_a_database_without_what_it_needs_and_an_old_library_are_told_before_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("popbench_trackers.mlflow_runs.find_spec", lambda name: None)
    done = run("track", "run", "--to", "mlflow,uri=sqlite:///mlflow.db")
    assert done.status == 2
    assert done.line.startswith("popbench: tracker mlflow: the database sqlite needs the whole of MLflow: pip install")
    monkeypatch.setattr("popbench_trackers.libraries.version", lambda name: "2.22.1")
    assert 'mlflow 2.22.1 is too old: pip install "popbench[mlflow]"' in run("track", "run", "--to", "mlflow").line


def test_mlflow_keeps_the_rules_of_trackers(in_tmp: Path) -> None:
    assert testing.check_tracker(MLflow(MLflow.Options(uri=str(in_tmp / "kit")))).ok
    assert popbench.make("tracker", "mlflow").options.clips == 24

"""Tracking: what trackers get of a run, what they do not get, and what becomes of a run whose tracker fails."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tracked_runs
from command_line import Run, in_process
from made_boards import edit, edit_samples
from tracked_runs import Keeping, board_numbers, odd_run

FAILED = (
    "popbench: tracker failing: OSError: no route to https://example.org/api?x=1 for …; the run itself is kept. "
    "To try again: popbench track "
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_run(tmp_path_factory.mktemp("tracked") / "run")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, made: Path) -> Run:
    tracked_runs.install()
    shutil.copytree(made, tmp_path / "run")
    return in_process(monkeypatch, capsys, tmp_path)


def test_a_tracker_gets_every_number_of_the_board_with_its_interval(run: Run, made: Path) -> None:
    done = run("track", "run", "--to", "keeping")
    assert (done.status, done.out, done.err) == (0, "keeping: kept run\n", "")
    (tracked,) = Keeping.runs
    numbers = {(name, *metric.of): value for metric in tracked.metrics for name, value in metric.numbers().items()}
    expected = board_numbers(made)
    assert len(expected) > 50
    assert {key: numbers[key] for key in expected} == expected
    medians = {metric.of: metric for metric in tracked.metrics if metric.statistic == "median"}
    row = json.loads((made / "results.json").read_text(encoding="utf-8"))["systems"][0]
    median = medians[row["task"], row["predictor"], row["system"]]
    assert (median.value, median.low, median.high) == tuple(row["median"][end] for end in ("value", "low", "high"))


def test_a_tracker_gets_settings_board_samples_and_clips(run: Run, made: Path) -> None:
    run("track", "run", "--to", "keeping")
    (tracked,) = Keeping.runs
    assert (tracked.name, tracked.demo, tracked.state) == ("run", False, "complete")
    assert tracked.params["seed"] == 42
    assert tracked.params["mode"] == "basic"
    assert "out" not in tracked.params
    assert {name for name in tracked.params if "/" in name} == {
        "task_hash/cats", "predictor_digest/faulty", "predictor_digest/sound of/it",
    }  # fmt: skip
    results = json.loads((made / "results.json").read_text(encoding="utf-8"))
    assert json.loads(Keeping.files["results.json"])["systems"] == results["systems"]
    assert Keeping.files["leaderboard.md"].decode() == (made / "leaderboard.md").read_text(encoding="utf-8")
    table = pq.read_table(io.BytesIO(Keeping.files["samples.parquet"]))
    assert table.num_rows == 2 * 4 * 2  # systems, prompts, predictors
    assert [clip.prompt_id for clip in tracked.clips[:4]] == ["p00", "p00", "p01", "p01"]
    assert len({clip.system for clip in tracked.clips[:2]}) == 2
    assert all(clip.path.is_file() for clip in tracked.clips)


def test_a_run_directory_keeps_its_id_and_another_one_has_another(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("track", "run", "--to", "keeping").status == 0
    (tmp_path / "run").rename(tmp_path / "moved")
    assert run("track", "moved", "--to", "keeping").status == 0
    (tmp_path / "moved/tracked.json").unlink()
    assert run("track", "moved", "--to", "keeping").status == 0
    ids = [tracked.id for tracked in Keeping.runs]
    assert ids[0] == ids[1] == ids[2] != ids[3]


@pytest.mark.parametrize("content", ["", "[]", '{"id": 5}', '{"id": "../x"}', "nul\0"])
def test_a_damaged_id_is_told_in_one_line(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "run/tracked.json").write_text(content)
    done = run("track", "run", "--to", "keeping")
    assert done.status == 2
    assert "tracked.json" in done.line
    assert "remove it" in done.line


def test_credentials_and_folders_of_this_machine_are_not_handed_over(run: Run, tmp_path: Path) -> None:
    edit(tmp_path / "run/run.json", lambda about: about["config"].update(
        llm=['shotlist,extra={"api_key":"sk-abcdefgh12345678"}', "verbatim,file=/home/me/secret/model.bin"],
        engine="local,url=https://me:hunter2@example.org/x?token=abc",
        task=["/home/me/tasks/cats.yaml"],
    ))  # fmt: skip
    edit(tmp_path / "run/results.json", lambda results: results.update(
        notes={"verbatim": "read from /home/me/secret/notes.txt"}, remarks=["asked https://u:hunter2@example.org/"]
    ))  # fmt: skip
    edit_samples(tmp_path / "run", lambda row: row.update(notes=["wrote /home/me/secret/log.txt, sk-abcdefgh12345678"]))
    assert run("track", "run", "--to", "keeping").status == 0
    (tracked,) = Keeping.runs
    rows = pq.read_table(io.BytesIO(Keeping.files["samples.parquet"])).to_pylist()
    told = (
        repr(tracked.params)
        + repr(rows)
        + "".join(Keeping.files[name].decode() for name in ("results.json", "leaderboard.md"))
    )
    for secret in ("/home/me", "hunter2", "sk-abcdefgh", "token=abc"):
        assert secret not in told
    assert tracked.params["task"] == "cats.yaml"
    assert rows[0]["notes"] == ["wrote log.txt, (not published)"]


@pytest.mark.parametrize(
    "change",
    [
        lambda results: results["systems"][0].update(median={"value": [1], "low": [], "high": None}),
        lambda results: results["systems"][0].update(compliance_interval=[0.5]),
        lambda results: results["pairs"][0].pop("win_rate"),
        lambda results: results["pairs"].append({}),
        lambda results: results.update(costs=[{}]),
        lambda results: results.update(systems=[{"system": 5}]),
    ],
)
def test_a_board_that_somebody_damaged_is_told_in_one_line(run: Run, tmp_path: Path, change: Any) -> None:
    edit(tmp_path / "run/results.json", change)
    done = run("track", "run", "--to", "keeping")
    assert done.status == 2
    assert "results.json" in done.line
    assert Keeping.runs == []


def test_a_clip_outside_of_the_run_is_not_handed_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    _, second, *_ = json.loads("[" + ",".join((tmp_path / "run/samples.jsonl").read_text().splitlines()) + "]")
    edit_samples(tmp_path / "run", lambda row: row.update(video="videos/../../secret.mp4"))
    link = tmp_path / "run" / second["video"]
    link.unlink()
    link.symlink_to(tmp_path / "secret.mp4")
    assert run("track", "run", "--to", "keeping").status == 0
    (tracked,) = Keeping.runs
    assert not any(clip.path.read_bytes() == b"secret" for clip in tracked.clips)
    assert tracked.clips


def test_a_tracker_that_fails_costs_the_others_nothing_and_shows_no_credential(run: Run) -> None:
    done = run("track", "run", "--to", "failing", "--to", "keeping")
    assert done.status == 1
    assert done.line == FAILED + "run --to failing"
    assert done.out == "keeping: kept run\n"


def test_what_a_tracker_lacks_and_an_unknown_one_are_told_before_a_run(run: Run, tmp_path: Path) -> None:
    missing = run("eval", "--llm", "verbatim", "--corpus", "demo", "--limit", 1, "--out", "new", "--track", "lacking")
    assert (missing.status, missing.line) == (
        2, "popbench: tracker lacking: a key is needed: give it in LACKING_API_KEY",
    )  # fmt: skip
    unknown = run("eval", "--limit", 1, "--out", "new", "--track", "keepin")
    assert unknown.status == 2
    assert "unknown tracker 'keepin': did you mean 'keeping'?" in unknown.line
    stopped = run("eval", "--limit", 1, "--out", "new", "--track", "keeping", "--stop-after", "write")
    assert (stopped.status, stopped.line) == (
        2, "popbench: --track needs the scores of a run: leave out --stop-after, or --track",
    )  # fmt: skip
    secret = run("eval", "--limit", 1, "--out", "new", "--track", "mlflow,uri=https://me:hunter2@example.org")
    assert (secret.status, "hunter2" in secret.line) == (2, False)
    assert not (tmp_path / "new").exists()


def test_eval_hands_its_run_over_when_it_is_finished(run: Run, tmp_path: Path) -> None:
    arguments = ("eval", "--llm", "verbatim", "--corpus", "demo", "--mode", "basic", "--limit", 1, "--out", "new")
    done = run(*arguments, "--track", "keeping", "--track", "failing", "--json")
    assert done.status == 1
    assert json.loads(done.out)["complete"] is True
    assert done.err.splitlines()[-2:] == ["keeping: kept new", FAILED + "new --to failing"]
    assert (tmp_path / "new/results.json").exists()
    assert run(*arguments, "--track", "keeping").out.splitlines()[-1] == "keeping: kept new"
    assert [tracked.id for tracked in Keeping.runs[:1]] == [tracked.id for tracked in Keeping.runs[1:]]
    (tmp_path / "popbench.toml").write_text('track = ["keeping"]\n', encoding="utf-8")
    assert run(*arguments).out.splitlines()[-1] == "keeping: kept new"
    assert "track" not in json.loads((tmp_path / "new/run.json").read_text(encoding="utf-8"))["config"]


def test_a_run_without_any_score_is_not_handed_over(run: Run) -> None:
    arguments = ("--llm", "verbatim", "--corpus", "demo", "--mode", "basic", "--limit", 1, "--out", "new")
    done = run(
        "eval", *arguments, "--task", "popcorn_concrete", "--gen", "faulty,fault=failure,at=0", "--track", "keeping"
    )
    assert done.status == 1
    last = done.err.splitlines()[-1]
    assert last == "popbench: not tracked, since no prompt has all its scores: there is no board yet"
    assert Keeping.runs == []


def test_a_run_that_was_killed_is_not_handed_over(run: Run, tmp_path: Path) -> None:
    edit(tmp_path / "run/run.json", lambda about: about.update(finished=False))
    done = run("track", "run", "--to", "keeping")
    assert (done.status, done.line) == (
        2, "popbench: run: the run was stopped before it was done: give its command again first",
    )  # fmt: skip
    assert not (tmp_path / "run/tracked.json").exists()
    assert Keeping.runs == []


def test_a_run_with_samples_in_error_says_so_to_its_tracker(run: Run, tmp_path: Path) -> None:
    odd_run(tmp_path / "broken", gen="faulty,fault=failure")
    assert run("track", "broken", "--to", "keeping").status == 0
    (tracked,) = Keeping.runs
    assert "no result yet" in tracked.state

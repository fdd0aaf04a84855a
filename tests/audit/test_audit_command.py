"""`popbench predictor audit`: what it prints and writes, and bad input in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

import known_law_components
import popbench_runs
from command_line import Run, in_process
from markdown_tables import tables_are_whole
from popbench.audit.clips import Clips, Variant, duration
from popbench.audit.run import audit
from popbench.video import VideoError, read_frames, video_info, write_mp4
from usage_errors import refusal


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    known_law_components.install()
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command") / "run"
    known_law_components.evaluate(folder, "law,title=1,level=1,label=law", limit=6)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A run with scores, in the folder where commands are given."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def edit(file: Path, **changes: Any) -> None:
    about = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**about, **changes}), encoding="utf-8")


def rewrite(run: Path, **changes: Any) -> None:
    """Change every sample."""
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.dumps({**json.loads(line), **changes}) for line in lines]
    (run / "samples.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


# -- what it prints and writes


@pytest.mark.slow
def test_the_demo_is_audited_and_says_that_it_is_one(popbench: Run, tmp_path: Path) -> None:
    command = ["eval", "--limit", "3", "--task", "popcorn_concrete", "--mode", "basic", "--out", "demo"]
    command += ["--gen", "kinetic,width=96,height=64"]
    assert popbench(*command).status == 0
    done = popbench("predictor", "audit", "demo", "--shuffles", "1")
    assert done.status == 0
    assert "What moves the scores of predictor demo (demo)" in done.out
    assert "Titles explain" in done.out
    assert "There are only 3 prompts" in done.out
    assert "Demo scores: they show" in done.out
    assert "demo: audit.json, audit.md, leaderboard.md, results.json" in done.out
    assert "**Demo scores.**" in (tmp_path / "demo/audit.md").read_text(encoding="utf-8")
    board = (tmp_path / "demo/leaderboard.md").read_text(encoding="utf-8")
    assert "## What moves the scores" in board
    assert tables_are_whole(board)
    assert json.loads((tmp_path / "demo/audit.json").read_text(encoding="utf-8"))["demo"] is True
    # Three prompts are too few for any interval.
    (entry,) = json.loads((tmp_path / "demo/results.json").read_text(encoding="utf-8"))["audit"]
    assert entry["rows"][0]["share"]["low"] is None
    shown = popbench(*command).out
    assert "Audit of predictor demo: Titles explain" in " ".join(shown.split())


@pytest.mark.slow
def test_json_is_the_audit_and_the_run_it_is_of(popbench: Run, run: Path) -> None:
    done = popbench("predictor", "audit", "run", "--json", "--limit", "5", "--shuffles", "1", "--seed", "3")
    assert done.status == 0
    found = json.loads(done.out)
    assert found.pop("run") == "run"
    assert found == json.loads((run / "audit.json").read_text(encoding="utf-8"))
    (entry,) = found["audits"]
    assert (entry["limit"], entry["shuffles"], entry["seed"], entry["samples"]["n"]) == (5, 1, 3, 10)


def test_a_predictor_that_ends_early_is_status_1_and_one_line(popbench: Run, run: Path) -> None:
    spec = 'law,title=1,level=1,label=law,fault="dies without title"'
    done = popbench("predictor", "audit", "run", "--predictor", spec, "--shuffles", "1")
    assert done.status == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("popbench: law: ")
    assert "out of ideas" in last


def test_a_run_of_one_system_reorders_nothing(popbench: Run, tmp_path: Path) -> None:
    known_law_components.evaluate(tmp_path / "one", llm="writer,label=only", limit=5)
    done = popbench("predictor", "audit", "one", "--json", "--shuffles", "1")
    rows = json.loads(done.out)["audits"][0]["rows"]
    assert all(row["reordered"] is None and row["share"] is not None for row in rows)
    assert tables_are_whole((tmp_path / "one/audit.md").read_text(encoding="utf-8"))


# -- bad input


def test_what_is_no_run_with_scores_is_one_line(popbench: Run, run: Path, tmp_path: Path) -> None:
    def told(folder: object, *more: str) -> str:
        done = popbench("predictor", "audit", folder, *more)
        assert (done.status, done.out) == (2, "")
        return done.line

    (tmp_path / "empty").mkdir()
    assert "no such folder" in told("gone")
    assert "no such folder" in told("run/run.json")
    assert "not a run directory (run.json is missing)" in told("empty")
    assert "did you mean 'law'?" in told("run", "--predictor", "lwa")
    assert "title: " in told("run", "--predictor", "law,title=much")
    assert "their fingerprints differ" in told("run", "--predictor", "law,title=2,label=law")
    assert "labelled 'x'" in told("run", "--predictor", "law,label=x", "--predictor", "law,title=2,label=x")
    assert "there is only one" in told("run", "--limit", "1")
    with filelock.FileLock(run / ".lock"):
        assert "run is in use by another process" in told("run")
    for file in sorted((run / "videos").iterdir())[:2]:
        file.unlink()
    assert "2 of 12 videos are missing (videos/" in told("run")
    rewrite(run, status="invalid")
    assert "no sample is ok" in told("run")
    (run / "samples.jsonl").unlink()
    assert "samples.jsonl is missing" in told("run")
    edit(run / "run.json", finished=False)
    assert "give its command again first" in told("run")
    (run / "run.json").write_text("{}")
    assert "run.json cannot be read" in told("run")
    known_law_components.evaluate(tmp_path / "stopped", stop_after="render", limit=2)
    assert "the run stopped after render, so it has no scores" in told("stopped")
    assert not list(tmp_path.glob("*/audit.*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("audit",), "RUN"),
        (("audit", "x", "--shuffles", "0"), "--shuffles"),
        (("audit", "x", "--limit", "0"), "--limit"),
        (("audit", "x", "--seed", "-1"), "--seed"),
        (("audit", "x", "--shufles", "2"), "--shufles"),
        (("audt",), "did you mean 'audit'?"),
    ],
)
def test_a_wrong_option_is_one_line(popbench: Run, arguments: tuple[str, ...], told: str) -> None:
    done = popbench("predictor", *arguments)
    assert (done.status, done.out) == (2, "")
    assert told in done.line


# -- interrupts


@pytest.mark.slow
def test_an_interrupt_is_status_130_and_nothing_is_written(tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.is_file()}
    command = ["predictor", "audit", "run", "--predictor", "faulty,fault=silent,at=4"]
    process = popbench_runs.start(command, tmp_path)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.is_alive():
        if "score unchanged" in ((tmp_path / "stderr.txt").read_text() if (tmp_path / "stderr.txt").exists() else ""):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130, (tmp_path / "stderr.txt").read_text()
    assert "popbench: interrupted; nothing was written" in (tmp_path / "stderr.txt").read_text()
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.is_file()} == before


# -- changed clips


def clip(folder: Path, frames: int = 5) -> Path:
    path = folder / "clip.mp4"
    ramp = np.linspace(40, 200, frames)[:, None, None, None]
    write_mp4(np.broadcast_to(ramp, (frames, 32, 48, 3)).astype(np.uint8), 10, path)
    return path


def test_changed_clips_keep_size_length_and_rate(tmp_path: Path) -> None:
    path = clip(tmp_path)
    variants = {change: Variant("t", path, change) for change in ("same", "reversed", "still", "black")}
    clips = Clips(tmp_path, variants.values())
    light = {}
    for change, variant in variants.items():
        found = clips.path(variant)
        assert video_info(found) == video_info(path)
        light[change] = read_frames(found).mean(axis=(1, 2, 3))
    assert light["same"] == pytest.approx(read_frames(path).mean(axis=(1, 2, 3)), abs=2)
    assert light["reversed"] == pytest.approx(light["same"][::-1], abs=2)
    assert light["still"] == pytest.approx([light["same"][2]] * 5, abs=2)
    assert light["black"].max() < 3
    for variant in variants.values():
        clips.done(variant)
    assert {file.name.split("-")[0] for file in tmp_path.iterdir()} == {"clip.mp4", "black"}


def test_a_clip_too_long_for_memory_is_thinned_to_the_same_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("popbench.audit.clips.MEMORY", 4 * 32 * 48 * 3)
    path = clip(tmp_path, frames=9)
    variant = Variant("t", path, "same")
    found = Clips(tmp_path, [variant]).path(variant)
    assert video_info(found).frames == 4
    assert duration(found) == pytest.approx(duration(path), abs=0.01)


def test_a_clip_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    variant = Variant("t", broken, "reversed")
    with pytest.raises(VideoError):
        Clips(tmp_path, [variant]).path(variant)
    assert np.isnan(duration(broken))


# -- what is kept, and what is looked at before work


@pytest.mark.slow
def test_an_audit_keeps_those_of_other_predictors(tmp_path: Path) -> None:
    run = tmp_path / "run"
    known_law_components.evaluate(run, "law,title=1,label=titles", "law,level=1,label=videos")
    audit(run, ["law,title=1,label=titles"], shuffles=1)
    one = json.loads((run / "audit.json").read_text(encoding="utf-8"))
    audit(run, ["law,level=1,label=videos"], shuffles=1)
    both = json.loads((run / "audit.json").read_text(encoding="utf-8"))
    assert [entry["predictor"] for entry in both["audits"]] == ["videos", "titles"]
    assert both["audits"][1] == one["audits"][0]
    board = (run / "leaderboard.md").read_text(encoding="utf-8")
    assert board.count("**Predictor ") == 2
    audit(run, ["law,title=1,label=titles"], shuffles=2)
    again = json.loads((run / "audit.json").read_text(encoding="utf-8"))
    assert [(entry["predictor"], entry["shuffles"]) for entry in again["audits"]] == [("titles", 2), ("videos", 1)]


def test_clips_that_are_not_those_that_were_scored_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    known_law_components.evaluate(run)
    first, second = sorted((run / "videos").glob("*.mp4"))[:2]
    first.write_bytes(second.read_bytes())
    assert f"videos/{first.name} is not the clip that was scored" in refusal(lambda: audit(run))
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[0])
    row["video"] = "../../../etc/passwd"
    (run / "samples.jsonl").write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n", encoding="utf-8")
    assert "names a video outside the run" in refusal(lambda: audit(run))


@pytest.mark.parametrize("text", ["garbage", "{}", "[]", '{"remarks": []}', '{"remarks": [5]}'])
def test_a_damaged_board_is_told_before_anything_is_scored(text: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    known_law_components.evaluate(run, limit=2)
    (run / "results.json").write_text(text, encoding="utf-8")
    told = refusal(lambda: audit(run, ["law,title=1,label=other"]))
    assert "results.json cannot be read as a board" in told
    assert not (run / "audit.json").exists()


@pytest.mark.parametrize(
    "changes",
    [{"scores": {"law": "x"}}, {"title": 5}, {"system": None}, {"prompt_id": [1]}, {"scores": {"law": 10**400}}],
)
def test_edited_samples_are_one_line(changes: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    known_law_components.evaluate(run)
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), **changes})
    (run / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "samples.jsonl: line 1 is no sample" in refusal(lambda: audit(run))

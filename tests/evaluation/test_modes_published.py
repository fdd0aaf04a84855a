"""Runs with modes of several turns are merged, published, checked, exported and reported like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import popbench
import popbench_runs
from command_line import Run, in_process
from made_boards import begin, evaluate, submissions

MODES = ["basic", "refine,rounds=2", "best,n=2"]
LABELS = ["basic", "refine[rounds=2]", "best[n=2]"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate(tmp_path_factory.mktemp("runs") / "run", llm="shotlist", mode=MODES)


def test_a_published_board_has_them_and_its_check_finds_nothing(made: Path, run: Run, tmp_path: Path) -> None:
    board = begin(tmp_path / "board", made)
    assert run("leaderboard", "check", board).status == 0
    (submission,) = submissions(board)
    content = json.loads(submission.read_text(encoding="utf-8"))
    assert list(content["modes"]) == sorted(LABELS)
    assert content["components"]["mode best[n=2]"]["fingerprint"]["name"] == "popbench_baselines.Best"
    assert content["modes"]["refine[rounds=2]"]["options"] == {"template": "basic", "rounds": 2}


def test_a_draft_that_was_changed_by_hand_is_found(made: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    samples = copy / "samples.jsonl"
    lines = samples.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if '"mode":"best[n=2]"' in line.replace(": ", ":"))
    row = json.loads(lines[at])
    lines[at] = json.dumps({**row, "attempts": row["attempts"] + 1})
    samples.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(popbench.UsageError, match=r"samples.jsonl does not match the ledger in attempts"):
        begin(tmp_path / "board", copy)


def test_shards_merge_into_the_whole_run(tmp_path: Path) -> None:
    options = {"llm": "shotlist", "mode": [*MODES, "few,k=3,shots=2"], "limit": 6}
    whole = popbench_runs.run_fast(tmp_path / "whole", **options)
    shards = [popbench_runs.run_fast(tmp_path / "run", shard=f"{number}/2", **options).path for number in (1, 2)]
    merged = popbench.merge(shards, out=tmp_path / "merged")
    assert popbench_runs.samples(merged.path) == popbench_runs.samples(whole.path)
    assert merged.results == whole.results


def test_they_are_exported_and_reported(made: Path, run: Run, tmp_path: Path) -> None:
    for format_ in ("parquet", "jsonl", "eee"):
        assert run("export", made, "--format", format_, "--out", tmp_path / format_).status == 0
    assert run("report", made, "--out", tmp_path / "page.html").status == 0
    assert "refine[rounds=2]" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run("status", made).status == 0


def test_a_run_is_repeated_from_its_file(made: Path, run: Run, tmp_path: Path) -> None:
    done = run("eval", "--config", made / "run.json", "--task", made.parent / "run-task", "--dry-run", "--json")
    assert done.status == 0, done.err
    assert {system.split("|")[1] for system in json.loads(done.out)["systems"]} == set(LABELS)

"""Real outcomes of clips that were posted: from any table into the run, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import filelock
import pytest

from ballot_runs import SYSTEMS, make_ballot_run
from command_line import Run, in_process


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ballot_run(tmp_path_factory.mktemp("made") / "run", SYSTEMS[:2], prompts=2, seconds=0.25)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def labels_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "labels.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_table_names_clips_by_their_files(popbench: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("video,views,days\n0003.mp4,120,7\nvideos/0000.mp4,0,7\n0005,1e4,3.5\n")
    done = popbench("labels", "add", "run", "views.csv", "--count", "views", "--exposure", "days")
    assert (done.status, done.err) == (0, "")
    assert "3 labels added, 0 replaced: 3 of 8 clips in run have a real outcome" in done.out
    labels = labels_of(run)
    assert sorted((label["video"][7:11], label["count"], label["exposure"]) for label in labels) == [
        ("0000", 0, 7), ("0003", 120, 7), ("0005", 10_000, 3.5),
    ]  # fmt: skip
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    for label in labels:
        (sample,) = (row for row in samples if row["video"] == label["video"])
        for name in ("system", "task", "prompt_id", "category", "repeat", "video_sha256"):
            assert label[name] == sample[name]
        assert (label["measure"], label["exposure_in"]) == ("views", "days")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_table_names_samples_by_system_and_prompt(popbench: Run, run: Path, tmp_path: Path, ending: str) -> None:
    import pandas as pd

    rows = [
        {"system": system, "task": "concrete", "prompt_id": "concrete-0001", "count": number}
        for number, system in enumerate(SYSTEMS[:2])
    ]
    table = pd.DataFrame(rows)
    if ending == "jsonl":
        table.to_json(tmp_path / "posted.jsonl", orient="records", lines=True)
    else:
        table.to_parquet(tmp_path / "posted.parquet")
    assert popbench("labels", "add", "run", f"posted.{ending}").status == 0
    assert {label["system"]: label["count"] for label in labels_of(run)} == {SYSTEMS[0]: 0, SYSTEMS[1]: 1}
    assert {label["exposure"] for label in labels_of(run)} == {None}


def test_a_later_table_replaces_counts_and_adds_others(popbench: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,count\n0000,1\n0001,2\n")
    (tmp_path / "b.csv").write_text("video,count\n0001,20\n0002,30\n")
    popbench("labels", "add", "run", "a.csv")
    assert "1 label added, 1 replaced: 3 of 8 clips" in popbench("labels", "add", "run", "b.csv").out
    assert sorted(label["count"] for label in labels_of(run)) == [1, 20, 30]


def test_numbers_are_read_as_it_is_said(popbench: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,count\n0000,1.234\n0001,889\n")
    assert "may mean 1234 as well" in popbench("labels", "add", "run", "a.csv").line
    assert popbench("labels", "add", "run", "a.csv", "--numbers", "thousands=point").status == 0
    assert sorted(label["count"] for label in labels_of(run)) == [889, 1234]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("video,count\n0000,\n", "row 1: count is empty: leave the row out if it is not known"),
        ("video,count\n0000,1\n0001,-1\n", "row 2: count is '-1', expected a number of 0 or more"),
        ("video,count\n0000,nan\n", "row 1: count: 'nan' is not a number"),
        ("video,count\n0000,1e999\n", "row 1: count is '1e999', expected a number of 0 to 1e+"),
        ("video,count\n0000,1\nvideos/0000.mp4,1\n", "row 2: gemma-secret|basic|ltx-secret|concrete|"),
        ("video,count\n../run.json,1\n", "row 1: video '../run.json' is no clip of the run"),
        ("video,views\n0000,1\n", "(possible: video, views); bad.csv: name yours"),
        ("name,count\n0000,1\n", "it names no samples"),
        ("system,task,prompt_id,count\na|b|c,concrete,concrete-0000,1\n", "row 1: the run has no clip of 'a|b|c'"),
        ("system,task,prompt_id,repeat,count\na|b|c,t,p,-1,1\n", "row 1: repeat is '-1'"),
        ("video,count\n", "it has no rows"),
        ("", "bad.csv"),
        ("\x00\xff", "bad.csv"),
    ],
)  # fmt: skip
def test_a_table_with_a_wrong_row_is_refused_whole(
    popbench: Run, run: Path, tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "bad.csv").write_text(content, encoding="latin-1")
    done = popbench("labels", "add", "run", "bad.csv")
    assert (done.status, told in done.line) == (2, True), done.err
    assert not (run / "labels.jsonl").exists()


def test_a_clip_that_several_samples_share_needs_its_sample(popbench: Run, run: Path, tmp_path: Path) -> None:
    text = (run / "samples.jsonl").read_text(encoding="utf-8").replace("videos/0001.mp4", "videos/0000.mp4")
    (run / "samples.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "a.csv").write_text("video,count\n0000,1\n")
    assert "is that of 2 samples: give columns system" in popbench("labels", "add", "run", "a.csv").line


def test_other_measures_other_files_and_runs_at_work_are_told(popbench: Run, run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("video,count,likes\n0000,1,0\n")
    assert "expected a table" in popbench("labels", "add", "run", "a.xlsx").line
    assert "cannot be read" in popbench("labels", "add", "run", "gone.csv").line
    assert "no such folder" in popbench("labels", "add", "gone", "a.csv").line
    assert "both name column" in popbench("labels", "add", "run", "a.csv", "--exposure", "count").line
    assert "likes is 0: nobody can have seen" in popbench("labels", "add", "run", "a.csv", "--exposure", "likes").line
    assert "--numbers: expected" in popbench("labels", "add", "run", "a.csv", "--numbers", "?").line
    with filelock.FileLock(run / ".lock"):
        assert "is in use by" in popbench("labels", "add", "run", "a.csv").line
    assert popbench("labels", "add", "run", "a.csv").status == 0
    before = (run / "labels.jsonl").read_bytes()
    line = popbench("labels", "add", "run", "a.csv", "--count", "likes").line
    assert "labels.jsonl has counts of 'count' without exposure, and a.csv counts of 'likes'" in line
    assert (run / "labels.jsonl").read_bytes() == before
    (run / "labels.jsonl").write_text('{"count": 1}\n', encoding="utf-8")
    assert "labels.jsonl: line 1 is no label" in popbench("labels", "add", "run", "a.csv").line

"""What is counted of answers is published with a run, checked, merged and exported, and nothing of it is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import popbench
import talking_llm
from command_line import Run, in_process
from made_boards import edit, edit_samples, evaluate, forge, submissions
from talking_llm import REMARK

LLMS = ["talking,say=npd", "talking,say=r,label=told"]
SYSTEM = "talking[say=npd]|basic|faulty"


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    talking_llm.install()
    return evaluate(tmp_path_factory.mktemp("talked") / "run", llm=LLMS)


@pytest.fixture
def copy(talked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(talked, tmp_path / "copy"))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def test_a_board_has_the_reasons_and_the_remarks_of_its_runs(run: Run, talked: Path, board: Path) -> None:
    done = run("add", "board", talked)
    assert (done.status, done.err) == (0, "")
    assert run("check", "board").status == 0
    results = json.loads((board / "board.json").read_text(encoding="utf-8"))
    assert results["unusable"] == {
        SYSTEM: {"answers": 36, "reasons": {"no JSON": 12, "placeholder": 12}},
    }
    assert f"told: 12 of 12 drafts: {REMARK}" in results["remarks"]
    for file in ("README.md", "index.html"):
        text = (board / file).read_text(encoding="utf-8")
        assert "24 of 36 answers gave no usable draft: no JSON (12, 33.3 %)" in text
        assert REMARK in text
    assert run("build", "board").status == 0
    assert run("check", "board").status == 0


def test_a_submission_without_unusable_answers_says_nothing_of_them(board: Path) -> None:
    (file,) = submissions(board)
    assert "unusable" not in json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: row.pop("unusable"), "does not match the ledger in unusable"),
        (lambda row: row.update(unusable=["no JSON"]), "does not match the ledger in unusable"),
        (lambda row: row.update(remarks=["all is well"]), "does not match the ledger in remarks"),
        (lambda row: row.update(uncounted=2), "does not match the ledger in uncounted"),
        (lambda row: row.update(unusable="no JSON"), "is no sample"),
        (lambda row: row.update(remarks=[3]), "is no sample"),
        (lambda row: row.update(uncounted="1"), "is no sample"),
    ],
)
def test_what_was_changed_by_hand_is_found(
    change: Callable[[dict[str, Any]], object], told: str, run: Run, copy: Path, board: Path
) -> None:
    edit_samples(copy, change)
    done = run("add", "board", copy)
    assert done.status == 2
    assert told in done.err


def test_reasons_that_results_lack_or_have_in_addition_are_found(run: Run, copy: Path, board: Path) -> None:
    edit(copy / "results.json", lambda results: results.pop("unusable"))
    assert "unusable has other entries" in run("add", "board", copy).err
    edit(copy / "results.json", lambda results: results.update(unusable={SYSTEM: {"answers": 1, "reasons": {}}}))
    assert "results.json is not what the samples give: unusable" in run("add", "board", copy).err


@pytest.mark.parametrize(
    "wrong", [{"a": 1}, {"a": {"answers": -1, "reasons": {}}}, {"a": {"answers": 1, "reasons": {"x": "y"}}}]
)
def test_a_submission_with_other_counts_is_refused_in_one_line(wrong: Any, run: Run, board: Path) -> None:
    (file,) = submissions(board)
    forge(file, lambda content: content.update(unusable=wrong))
    done = run("check", "board")
    assert done.status == 1
    assert "unusable.a" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "eee"])
def test_a_run_with_unusable_answers_is_exported_and_read_back(format_: str, call: Run, copy: Path) -> None:
    out = copy.parent / ("out" if format_ == "eee" else f"out.{format_}")
    assert call("export", copy, "--format", format_, "--out", out).status == 0
    assert call("leaderboard", "build", out, "--out", "built").status == 0


def test_shards_merge_into_what_the_whole_run_says(talked: Path, call: Run, tmp_path: Path) -> None:
    task = str(talked.parent / "run-task" / "cats.yaml")
    shards = [tmp_path / f"part.shard-{n}-of-2" for n in (1, 2)]
    settings: Any = {"llm": LLMS, "gen": "faulty", "predictor": "faulty", "mode": "basic"}
    for number, shard in enumerate(shards, 1):
        popbench.evaluate(**settings, task=task, shard=f"{number}/2", out=shard)
    assert call("merge", *shards, "--out", "whole", "--task", task).status == 0
    merged, whole = (
        json.loads((at / "results.json").read_text(encoding="utf-8")) for at in (tmp_path / "whole", talked)
    )
    assert merged["unusable"] == whole["unusable"]
    assert [line for line in merged["remarks"] if REMARK in line] == [
        line for line in whole["remarks"] if REMARK in line
    ]

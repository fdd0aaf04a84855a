"""`popbench export`: what it prints, what it is refused for, and that two at once do not disturb one another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import popbench_runs
from command_line import Run, in_process
from exported_runs import board, edit_samples, real_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_run(tmp_path_factory.mktemp("command") / "run", task="popcorn_concrete", limit=3, repeats=1).path


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_what_was_written_is_told(popbench: Run, run: Path) -> None:
    told = [popbench("export", "run", "--format", form) for form in ("parquet", "jsonl", "eee")]
    assert [(done.status, done.out, done.err) for done in told] == [
        (0, "run/scores.parquet: 6 rows\n", ""),
        (0, "run/scores.jsonl: 6 rows\n", ""),
        (0, "run/eee: 2 systems, an aggregate and its instances each\n", ""),
    ]
    assert popbench("leaderboard", "build", "run/scores.parquet", "--out", "board").status == 0
    real = board(run)
    built = json.loads(Path("board/board.json").read_text(encoding="utf-8"))
    assert (built["systems"], built["pairs"]) == (real["systems"], real["pairs"])


def test_a_demonstration_is_told_of(popbench: Run, tmp_path: Path) -> None:
    popbench_runs.run_fast(tmp_path / "demo", mode="pe", limit=2)
    for form in ("jsonl", "eee"):
        assert "Demo scores: the files say so" in popbench("export", "demo", "--format", form).err


def test_eee_takes_who_evaluated_and_the_others_do_not(popbench: Run, run: Path) -> None:
    assert popbench("export", "run", "--format", "eee", "--organization", "日本 | <lab>").status == 0
    told = json.loads(next((run / "eee").rglob("*.json")).read_text(encoding="utf-8"))
    assert told["source_metadata"]["source_organization_name"] == "日本 | <lab>"
    done = popbench("export", "run", "--format", "jsonl", "--relationship", "other")
    assert (done.status, done.line) == (2, "popbench: --organization and --relationship are of --format eee")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("run",), 2),
        (("run", "--format", "csv"), 2),
        (("nowhere", "--format", "eee"), 2),
        (("run/samples.jsonl", "--format", "eee"), 2),
        (("run/videos", "--format", "eee"), 2),
        (("run", "--format", "jsonl", "--out", "run/samples.jsonl"), 2),
        (("run", "--format", "jsonl", "--out", "/dev/full"), 2),
        (("run", "--format", "eee", "--out", "run/run.json"), 2),
        (("run", "--format", "eee", "--out", "x" * 300), 2),
        (("run", "--format", "jsonl", "--out", "x" * 300), 2),
        (("run", "--format", "jsonl", "--out", ""), 2),
    ],
)
def test_bad_requests_are_one_line_and_harm_nothing(
    popbench: Run, run: Path, arguments: tuple[str, ...], status: int
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = popbench("export", *arguments)
    assert done.status == status
    assert done.line
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_that_grew_is_exported_again_with_force(popbench: Run, run: Path) -> None:
    popbench("export", "run", "--format", "jsonl")
    edit_samples(run, lambda sample: sample.update(title="Another"))
    done = popbench("export", "run", "--format", "jsonl")
    assert done.status == 2
    assert done.line == (
        "popbench: run/scores.jsonl would be replaced by other content: add --force, or choose another --out"
    )
    assert popbench("export", "run", "--format", "jsonl", "--force").status == 0
    assert "Another" in (run / "scores.jsonl").read_text(encoding="utf-8")


def test_two_exports_at_once_do_not_disturb_one_another(run: Path, tmp_path: Path) -> None:
    processes = [
        popbench_runs.start(["export", "../run", "--format", form, "--force"], tmp_path / f"{number}")
        for number, form in enumerate(("jsonl", "jsonl", "eee", "eee"))
    ]
    for number, process in enumerate(processes):
        process.join(60)
        assert process.exitcode == 0, (tmp_path / f"{number}/stderr.txt").read_text()
    expected = {name: board(run)[name] for name in ("systems", "pairs")}
    for source in (run / "scores.jsonl", run / "eee"):
        found = board(source)
        assert {name: found[name] for name in expected} == expected
    assert not list(run.rglob("*.part"))

"""Published boards, their submissions and other scores as sources of one board, and what does not go together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from command_line import Run
from made_boards import ROWS, begin, evaluate, forge, submissions
from made_scores import score_rows, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boards of one submission each: two that go together, and others that do not."""
    folder = tmp_path_factory.mktemp("boards")
    evaluate(folder / "run-a")
    evaluate(folder / "run-b", llm="faulty,label=third")
    evaluate(folder / "run-demo", llm="verbatim,label=demo", predictor="demo")
    evaluate(folder / "run-sound", llm="verbatim,label=other", predictor="sound,label=faulty")
    evaluate(folder / "run-task", rows=ROWS[:-1], llm="verbatim,label=other")
    for name in ("a", "b", "demo", "sound", "task"):
        begin(folder / name, folder / f"run-{name}")
    return folder


@pytest.mark.slow
def test_boards_submissions_and_runs_merge_into_the_same_board(run: Run, made: Path, tmp_path: Path) -> None:
    (submission,) = submissions(made / "b")
    copy = shutil.copy(submission, tmp_path / "theirs.json")
    for out, sources in (
        ("boards", (made / "a", made / "b")),
        ("files", (made / "a", copy)),
        ("runs", (made / "run-a", made / "run-b")),
    ):
        assert run("build", *sources, "--out", out).status == 0
    tables = []
    for out in ("boards", "files", "runs"):
        results = json.loads((tmp_path / out / "board.json").read_text(encoding="utf-8"))
        tables.append([results[key] for key in ("systems", "pairs", "enhancement", "tasks", "predictors")])
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0][0]) == 3


def test_a_merged_board_has_a_page_too(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("build", made / "a", made / "b", "--out", "out", "--title", "Both")
    assert done.out.splitlines()[-1] == "out: board.yaml, submissions, README.md, board.json, index.html"
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<title>Both" in page
    assert "third" in page


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("demo", "demo scores and real ones cannot share a board"),
        ("sound", "two predictors are called 'faulty': their fingerprints differ"),
        ("task", "two versions of task 'cats' cannot share a board: their hashes differ"),
    ],
)
def test_boards_that_do_not_compare_are_not_merged(
    run: Run, made: Path, tmp_path: Path, other: str, reason: str
) -> None:
    for sources in ((made / "a", made / other), (made / other, made / "a"), (made / "run-a", made / other)):
        done = run("build", *sources, "--out", "out")
        assert done.status == 2
        assert reason in done.line
        assert not (tmp_path / "out").exists()


def test_a_forged_submission_with_another_result_for_a_known_system_is_refused(
    run: Run, made: Path, tmp_path: Path
) -> None:
    board = Path(shutil.copytree(made / "a", tmp_path / "forged"))
    (file,) = submissions(board)
    forge(file, lambda content: content["rows"][0].update(popularity=99.0))
    done = run("build", made / "a", board, "--out", "out")
    assert done.status == 2
    assert "system 'shotlist|basic|faulty' has two results for prompt 'p00' of task 'cats'" in done.line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"popularity": float("nan")}, "system 'a|basic|g', task 't', prompt 'p03': popularity is nan"),
        ({"popularity": -1}, "popularity is -1"),
        ({"prompt_id": "p02"}, "2 rows for system 'a|basic|g', task 't', prompt 'p02'"),
        ({"prompt_id": "p99"}, "lacks 1 result that others have: t/p03"),
        ({"task_hash": "other"}, "task 't' has two hashes"),
    ],
)
def test_scores_that_are_none_are_refused_in_one_line_that_names_the_row(
    run: Run, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    rows = score_rows()
    rows[3] |= change
    write(tmp_path / "scores.jsonl", rows)
    done = run("build", "scores.jsonl", "--out", "out")
    assert done.status == 2
    assert reason in done.line
    assert not (tmp_path / "out").exists()


def test_a_published_board_is_not_written_over_with_other_scores(run: Run, made: Path) -> None:
    done = run("build", made / "run-b", "--out", made / "a")
    assert done.status == 2
    assert "is a published board: popbench leaderboard add" in done.line
    assert "Missing option '--out'" in run("build", made / "run-b").line
    assert "--title and --common need --out" in run("build", made / "a", "--title", "New").line

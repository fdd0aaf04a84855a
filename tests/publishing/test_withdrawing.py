"""`popbench leaderboard withdraw` and `add --replace`: what does not count any more is still told on the board."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from command_line import Run
from made_boards import begin, edit, evaluate, submissions, tree


@pytest.fixture
def board(begun: Path, made: Path, tmp_path: Path, run: Run) -> Path:
    """A board of two submissions: `third`, and `shotlist` with `verbatim`."""
    board = Path(shutil.copytree(begun, tmp_path / "board"))
    assert run("add", "board", made / "one").status == 0
    return board


def results(board: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((board / "board.json").read_text(encoding="utf-8"))
    return content


def systems(board: Path) -> set[str]:
    return {row["system"] for row in json.loads((board / "board.json").read_text(encoding="utf-8"))["systems"]}


def test_a_system_is_withdrawn_and_the_board_says_why(run: Run, board: Path, made: Path) -> None:
    before = tree(board)
    done = run("withdraw", "board", "verbatim|basic|faulty", "--reason", "Rendered with *half* the steps")
    assert (done.status, done.err) == (0, "")
    assert systems(board) == {"shotlist|basic|faulty", "third|basic|faulty"}
    (file,) = (board / "withdrawn").iterdir()
    assert file.name in {path.name for path in submissions(board)}
    readme = (board / "README.md").read_text(encoding="utf-8")
    assert "| verbatim\\|basic\\|faulty | " in readme[readme.index("## Withdrawn") :]
    assert "Rendered with \\*half\\* the steps" in readme
    page = (board / "index.html").read_text(encoding="utf-8")
    assert "verbatim|basic|faulty, of submission" in page
    assert run("check", "board").status == 0
    # The submission is untouched, and taking the withdrawal back gives the board of before.
    assert {path: tree(board)[path] for path in before if path.startswith("sub")} == {
        path: content for path, content in before.items() if path.startswith("sub")
    }
    assert "is withdrawn already" in run("withdraw", "board", "verbatim|basic|faulty", "--reason", "x").line
    refused = run("add", "board", made / "one")
    assert "was withdrawn from the board (Rendered with *half* the steps): to take it back, remove" in refused.err
    file.unlink()
    assert run("check", "board").status == 1
    assert run("build", "board").status == 0
    assert tree(board) == before


def test_a_whole_submission_is_withdrawn_by_its_name_in_parts_or_at_once(run: Run, board: Path) -> None:
    name = next(path.stem for path in submissions(board) if "shotlist" in path.name)
    assert run("withdraw", "board", "shotlist|basic|faulty", "--reason", "first").status == 0
    assert run("withdraw", "board", name, "--reason", "rest").status == 0
    assert systems(board) == {"third|basic|faulty"}
    (file,) = (board / "withdrawn").iterdir()
    content = json.loads(file.read_text(encoding="utf-8"))["systems"]
    assert {system: of["reason"] for system, of in content.items()} == {
        "shotlist|basic|faulty": "first",
        "verbatim|basic|faulty": "rest",
    }
    assert run("check", "board").status == 0
    (board / "submissions" / file.name).unlink()  # the board still says that it was there
    assert run("build", "board").status == 0
    assert "shotlist" in (board / "README.md").read_text(encoding="utf-8")
    before = tree(board)
    left = run("withdraw", "board", "third|basic|faulty", "--reason", "x")
    assert left.status == 2
    assert "nothing would be left on the board" in left.line
    assert tree(board) == before


def test_results_are_replaced_and_the_board_says_by_which(run: Run, board: Path, tmp_path: Path) -> None:
    rules = board / "board.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("seed: 42\n", ""), encoding="utf-8")
    assert run("build", "board").status == 0
    evaluate(tmp_path / "again", llm="shotlist", seed=7)
    refused = run("add", "board", "again")
    assert "with other results: --replace REASON puts these in their place" in refused.line
    done = run("add", "board", "again", "--replace", "Another seed")
    assert (done.status, done.err) == (0, "")
    assert "replaced: shotlist|basic|faulty of submissions/shotlist-verbatim-" in done.out
    assert systems(board) == {"shotlist|basic|faulty", "third|basic|faulty", "verbatim|basic|faulty"}
    assert run("check", "board").status == 0
    (row,) = json.loads((board / "board.json").read_text(encoding="utf-8"))["withdrawn"]
    assert (row["system"], row["reason"]) == ("shotlist|basic|faulty", "Another seed")
    assert (board / "submissions" / row["replaced_by"]).exists()
    seeds = {
        name: of["seed"]
        for of in json.loads((board / "board.json").read_text(encoding="utf-8"))["submissions"]
        for name in of["systems"]
    }
    assert seeds["shotlist|basic|faulty"] == 7
    assert "with the same results" in run("add", "board", "again", "--replace", "Once more").err
    whole = tree(board)
    (board / "submissions" / row["replaced_by"]).unlink()  # as a killed add leaves it
    assert run("add", "board", "again", "--replace", "Another seed").status == 0
    assert tree(board) == whole


def test_a_label_that_takes_the_place_of_another_replaces_it(run: Run, board: Path, tmp_path: Path) -> None:
    evaluate(tmp_path / "renamed", llm="shotlist,label=better-name")
    assert "is 'shotlist|basic|faulty' under another label" in run("add", "board", "renamed").line
    assert run("add", "board", "renamed", "--replace", "A better name").status == 0
    assert systems(board) == {"better-name|basic|faulty", "third|basic|faulty", "verbatim|basic|faulty"}


def test_replacing_what_is_not_there_is_refused(run: Run, made: Path, tmp_path: Path) -> None:
    one = made / "one"
    assert "leave --replace out" in run("add", "new", one, "--replace", "Nothing").line
    assert not (tmp_path / "new").exists()
    assert run("add", "new", one, "--system", "shotlist|basic|faulty").status == 0
    before = tree(tmp_path / "new")
    other = ("add", "new", one, "--system", "verbatim|basic|faulty")
    assert "leave --replace out" in run(*other, "--replace", "Nothing").line
    assert tree(tmp_path / "new") == before


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 501, "\u202egnorw"])
def test_a_reason_that_cannot_stand_on_a_board_is_refused(run: Run, board: Path, made: Path, reason: str) -> None:
    before = tree(board)
    for done in (
        run("withdraw", "board", "third|basic|faulty", "--reason", reason),
        run("add", "board", made / "one", "--replace", reason),
    ):
        assert done.status == 2
        assert "expected visible text on one line" in done.line
    assert tree(board) == before


def test_what_is_not_on_the_board_cannot_be_withdrawn(run: Run, board: Path) -> None:
    assert "did you mean 'third|basic|faulty'?" in run("withdraw", "board", "thrd|basic|faulty", "--reason", "x").line
    assert "Missing option '--reason'" in run("withdraw", "board", "third|basic|faulty").line


def test_a_withdrawal_that_was_tampered_with_is_caught(run: Run, board: Path) -> None:
    assert run("withdraw", "board", "verbatim|basic|faulty", "--reason", "Wrong steps").status == 0
    (file,) = (board / "withdrawn").iterdir()
    kept = file.read_text(encoding="utf-8")
    edit(file, lambda content: content["systems"]["verbatim|basic|faulty"].update(reason="No reason"))
    done = run("check", "board")
    assert done.status == 1
    assert "README.md is not what the submissions give" in done.err
    for change, reason in (
        (lambda content: content.update(sha256="0" * 64), "its digest is not that of submission"),
        (lambda content: content["systems"].update({"x|y": content["systems"]["verbatim|basic|faulty"]}), "no system"),
        (lambda content: content.update(submission="../../x.json"), "submission: String should match pattern"),
        (lambda content: content["systems"]["verbatim|basic|faulty"].update(date="today"), "date: String should"),
        (lambda content: content["systems"]["verbatim|basic|faulty"].update(reson="x"), "did you mean 'reason'?"),
        (lambda content: content.update(systems={}), "systems: "),
        (lambda content: content.update(schema=2), "schema: "),
    ):
        file.write_text(kept, encoding="utf-8")
        edit(file, change)
        assert reason in run("check", "board", "--submissions").line
        refused = run("build", "board")
        assert refused.status == 2
        assert reason in refused.line
    for text in ("", "[]", "{", '"x"', "\x00"):
        file.write_text(text, encoding="utf-8")
        assert "board/withdrawn/" in run("check", "board", "--submissions").line
    file.write_text(kept, encoding="utf-8")
    file.rename(file.with_name("other.json"))
    assert "was renamed" in run("check", "board").err
    shutil.rmtree(board / "withdrawn")
    assert run("build", "board").status == 0


def test_a_withdrawal_of_a_pull_request_touches_one_file(run: Run, board: Path) -> None:
    before = tree(board)
    done = run("withdraw", "board", "third|basic|faulty", "--reason", "Wrong", "--submission-only")
    assert done.status == 0
    after = tree(board)
    assert {name for name in after if after[name] != before.get(name)} == set(after) - set(before)
    assert len(set(after) - set(before)) == 1
    assert run("check", "board", "--submissions").status == 0
    assert "is withdrawn: the board was built with it" in run("check", "board").err
    assert run("build", "board").status == 0
    assert run("check", "board").status == 0


def test_merging_boards_keeps_withdrawals_and_counts_what_both_have_once(
    run: Run, board: Path, made: Path, tmp_path: Path
) -> None:
    begin(tmp_path / "theirs", made / "one")
    assert run("withdraw", "board", "verbatim|basic|faulty", "--reason", "Wrong steps").status == 0
    done = run("build", "board", "theirs", "--out", "merged", "--title", "Both")
    assert (done.status, done.err) == (0, "")
    merged = tmp_path / "merged"
    assert run("check", "merged").status == 0
    assert systems(merged) == {"shotlist|basic|faulty", "third|basic|faulty"}
    assert (merged / ".gitattributes").exists()
    first = tree(merged)
    assert run("build", "board", "theirs", "--out", "merged", "--title", "Both").status == 0
    assert tree(merged) == first
    assert run("build", "board", "theirs", "--out", "merged").status == 0
    assert tree(merged) == first, "a title that was given stays"
    assert "is one of the boards" in run("build", "board", "theirs", "--out", board.absolute()).line
    assert run("add", "merged", made / "one", "--system", "verbatim|basic|faulty").status == 0
    assert "which these sources have not: choose another --out" in run("build", "theirs", "--out", "merged").line
    assert run("build", "board", "--out", board.absolute()).status == 0  # is built where it is

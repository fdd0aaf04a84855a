"""`popbench leaderboard diff`: what came, went or moved between two boards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import Run
from made_boards import edit, forge, submissions, tree


@pytest.fixture(scope="module")
def after(made: Path, begun: Path) -> Path:
    """The board with a second submission, whose pages are not built."""
    from popbench.publishing.add import add

    board = Path(shutil.copytree(begun, made / "after"))
    add(board, made / "one", submission_only=True, tried=9)
    return board


def test_what_came_is_listed_and_what_went_is_in_the_other_direction(run: Run, begun: Path, after: Path) -> None:
    before = tree(after)
    done = run("diff", begun, after)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0].startswith("2 systems added, 0 systems removed, ")
    added = [line.split()[0] for line in done.out.splitlines() if line.rstrip().endswith(" added")]
    assert set(added) == {"shotlist|basic|faulty", "verbatim|basic|faulty"}
    back = run("diff", after, begun).out
    assert back.startswith("0 systems added, 2 systems removed, ")
    assert "no longer there" in back
    assert tree(after) == before


def test_the_markdown_has_the_submissions_with_what_was_tried_and_tables_of_places(
    run: Run, begun: Path, after: Path
) -> None:
    text = run("diff", begun, after, "--markdown").out
    assert "| shotlist\\|basic\\|faulty, verbatim\\|basic\\|faulty | 9 | 2 | 42 |" in text
    assert "**cats, by predictor faulty**" in text
    rows = [line for line in text.splitlines() if line.startswith("| third\\|basic\\|faulty |")]
    assert " → " in rows[0]


def test_a_new_board_is_compared_with_an_empty_folder_and_equal_ones_do_not_differ(
    run: Run, begun: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    text = run("diff", "empty", begun).out
    assert "1 system added" in text
    assert "The board is new." in text
    assert run("diff", begun, begun).out == "Nothing differs; 1 system on the board.\n"
    assert "not a board" in run("diff", begun, "empty").line
    assert "does not exist" in run("diff", "nowhere", begun).line


def test_other_results_and_withdrawals_are_told(run: Run, begun: Path, after: Path, tmp_path: Path) -> None:
    shutil.copytree(after, tmp_path / "board")
    run("withdraw", "board", "verbatim|basic|faulty", "--reason", "Wrong *steps*")
    text = run("diff", after, "board", "--markdown").out
    assert "| verbatim\\|basic\\|faulty | shotlist-verbatim-" in text
    assert "Wrong \\*steps\\*" in text
    assert "no longer withdrawn: verbatim|basic|faulty" in run("diff", "board", after).out
    assert run("build", after, "--out", "plain").status == 0
    (tmp_path / "plain/board.yaml").unlink()
    assert run("diff", after, "plain").out == "Nothing differs; 3 systems on the board.\n"


def test_results_and_rules_that_were_changed_by_hand_are_told(run: Run, after: Path, tmp_path: Path) -> None:
    board = Path(shutil.copytree(after, tmp_path / "board"))
    rules = board / "board.yaml"
    rules.write_text(rules.read_text("utf-8").replace("title: Cats", "title: Dogs").replace("seed: 42\n", ""), "utf-8")
    (file,) = (path for path in submissions(board) if "shotlist" in path.name)
    forge(file, lambda content: [row.update(popularity=99.0) for row in content["rows"] if row["system"][0] == "s"])
    text = run("diff", after, board, "--markdown").out
    assert "- title: Cats before, Dogs now\n- seed: 42 before, none now" in text
    assert [" other results |" in line for line in text.splitlines() if line.startswith("| shotlist\\|basic")] == [True]
    assert text.count("| no longer there |") == text.count("| added |") == 1


def test_a_damaged_board_json_is_refused_in_one_line(run: Run, begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "plain")
    (tmp_path / "plain/board.yaml").unlink()
    assert run("diff", "plain", begun).out.startswith("Nothing differs")
    for text in ("", "[]", "{}", '{"schema": 1}', "null"):
        (tmp_path / "plain/board.json").write_text(text, encoding="utf-8")
        assert "board.json" in run("diff", "plain", begun).line
    shutil.copy(begun / "board.json", tmp_path / "plain/board.json")
    edit(tmp_path / "plain/board.json", lambda content: content["systems"][0].pop("rank"))
    assert "cannot be compared" in run("diff", "plain", begun).line


def test_nothing_of_a_strangers_board_is_markup_in_the_comment(
    run: Run, begun: Path, after: Path, tmp_path: Path
) -> None:
    board = Path(shutil.copytree(after, tmp_path / "board"))
    (file,) = (path for path in submissions(board) if "shotlist" in path.name)
    name = "@all <img src=x>|basic|faulty"

    def rename(content: Any) -> None:
        content["systems"] = {name: content["systems"]["shotlist|basic|faulty"]}
        content["rows"] = [{**row, "system": name} for row in content["rows"] if row["system"].startswith("shot")]

    forged = forge(file, rename)
    forged.rename(forged.with_name(f"all-img-src-x-basic-faulty-{forged.stem[-8:]}.json"))
    done = run("diff", begun, board, "--markdown")
    assert (done.status, done.err) == (0, "")
    assert "\\<img src=x\\>" in done.out
    assert "@all" not in done.out
    assert "<img" not in done.out.replace("\\<img", "")

"""How many variants were tried: said by the submitter, counted in the ledger, and shown with what it does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import Run
from made_boards import evaluate, forge, submissions, tree
from popbench.publishing.variants import chosen_from
from popbench.stats import best_of_equals

SHOTLIST = "shotlist|basic|faulty"


def tried(board: Path) -> Any:
    (file,) = submissions(board)
    return json.loads(file.read_text(encoding="utf-8"))["tried"]


def readme(board: Path) -> str:
    return (board / "README.md").read_text(encoding="utf-8")


def test_what_is_said_and_what_the_ledger_holds_stand_on_the_board(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("add", "board", made / "one", "--system", SHOTLIST, "--variants-tried", 10)
    assert (done.status, done.err) == (0, "")
    board = tmp_path / "board"
    assert tried(board) == {"said": 10, "recorded": 2}
    assert "| shotlist\\|basic\\|faulty | 10 | 2 |" in readme(board)
    assert f"up to {100 * best_of_equals(10, 12):.1f} % against it" in readme(board)
    page = (board / "index.html").read_text(encoding="utf-8")
    assert "variants tried: 10, in the ledger: 2" in page
    assert "The best of 10 variants" in page
    (entry,) = json.loads((board / "board.json").read_text(encoding="utf-8"))["submissions"]
    assert entry["tried"] == {"said": 10, "recorded": 2}
    assert run("check", "board").status == 0


def test_a_ledger_knows_of_variants_that_the_run_no_longer_names(run: Run, tmp_path: Path) -> None:
    for llm in ("shotlist", "verbatim", "faulty,label=third", "faulty,label=fourth", "verbatim"):
        evaluate(tmp_path / "run", llm=llm)
    about = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert list(about["systems"]) == ["verbatim|basic|faulty"]
    assert run("add", "board", "run").status == 0
    # Two labels of one model are one variant.
    assert tried(tmp_path / "board") == {"said": None, "recorded": 3}
    assert "| not said | 3 |" in readme(tmp_path / "board")
    assert "The best of 3 variants that are all equal" in readme(tmp_path / "board")


def test_a_run_of_which_all_is_submitted_was_chosen_from_nothing(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("add", "board", made / "one").status == 0
    assert tried(tmp_path / "board") == {"said": None, "recorded": 2}
    assert "The best of" not in readme(tmp_path / "board")


def test_fewer_variants_than_systems_are_refused(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("add", "board", made / "one", "--variants-tried", 1)
    assert done.status == 2
    assert "2 systems would be submitted, which were tried too, and --variants-tried says 1" in done.line
    for number in (0, 10**30):
        told = run("add", "board", made / "one", "--variants-tried", number).line
        assert f"{number} is not in the range 1<=x<=1000000000" in told
    assert not (tmp_path / "board").exists()


def test_the_number_is_asked_for_on_a_terminal_only(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from popbench.cli import _published

    answers = iter(["several", "12"])
    monkeypatch.setattr(_published, "_on_a_terminal", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    done = run("add", "board", made / "one")
    assert done.status == 0
    assert "expected a whole number" in done.err
    assert tried(tmp_path / "board")["said"] == 12


def test_submissions_of_versions_that_did_not_ask_are_read_and_kept(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("add", "board", made / "one").status == 0
    board = tmp_path / "board"
    (file,) = submissions(board)
    forge(file, lambda content: content.pop("tried"))
    assert run("build", "board").status == 0
    before = tree(board)
    assert "| not said | not counted |" in readme(board)
    assert run("add", "board", made / "two").status == 0
    assert {name: tree(board)[name] for name in before if name.startswith("submissions/")}.items() <= before.items()


@pytest.mark.parametrize("wrong", [{"said": 0}, {"said": "ten"}, {"recorded": -1}, {"other": 1}, [3]])
def test_a_number_that_is_none_is_refused_in_one_line(run: Run, made: Path, tmp_path: Path, wrong: Any) -> None:
    board = Path(shutil.copytree(made / "kept", tmp_path / "board")) if (made / "kept").exists() else tmp_path / "board"
    if not board.exists():
        assert run("add", "board", made / "one").status == 0
        shutil.copytree(board, made / "kept")
    (file,) = submissions(board)
    forge(file, lambda content: content.update(tried=wrong))
    assert re.search(r"tried|unknown key", run("check", "board", "--submissions").line)


@pytest.mark.parametrize(
    ("tried_", "systems", "number"),
    [
        ({"said": 10, "recorded": 3}, ["a"], 10),
        ({"said": 3, "recorded": 10}, ["a"], 10),
        ({"said": 10, "recorded": 3}, ["a", "b", "human"], 9),
        ({"said": None, "recorded": 2}, ["a", "b"], 1),
        ({"said": None, "recorded": None}, ["a"], None),
        ({"said": 5, "recorded": 5}, ["human"], None),
        (None, ["a"], None),
    ],
)
def test_the_best_may_be_of_all_that_were_tried_less_those_submitted_beside_it(
    tried_: Any, systems: list[str], number: int | None
) -> None:
    assert chosen_from({"tried": tried_, "systems": systems}) == number

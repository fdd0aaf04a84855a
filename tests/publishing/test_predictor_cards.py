"""A published board says how far its verdicts carry by the card in its rules, and by no submission's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import made_cards
from command_line import in_process
from made_tasks import task_file
from popbench.planning.systems import as_part
from popbench.registry import load_registry
from popbench.scores.board_folder import read_board

LEAD = "By the card of demo, a win on a prompt here is a win in views"


@pytest.mark.slow
def test_the_card_of_the_run_that_begins_a_board_is_in_its_rules(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = in_process(monkeypatch, capsys, tmp_path)
    digest = as_part(load_registry().resolve("predictor", "demo")).digest
    document = {**made_cards.document(0.6), "predictor": {"digest": digest}}
    Path("card.json").write_text(json.dumps(document), encoding="utf-8")
    task_file(tmp_path / "tasks", [{"id": f"p{n}", "prompt": f"A thing {n}", "category": "a"} for n in range(10)])
    for out, llm, predictor in (("first", "verbatim", "demo,card=card.json"), ("second", "shotlist", "demo")):
        words = ("--gen", "kinetic,width=64,height=64,frames=4", "--mode", "basic", "--task", "tasks/mine.yaml")
        done = run("eval", "--llm", llm, *words, "--predictor", predictor, "--corpus", "demo", "--out", out)
        assert done.status == 0, done.err
        added = run("leaderboard", "add", "board", out)
        assert added.status == 0, added.err
    board = read_board(Path("board"))
    assert board.rules.predictor.card == made_cards.measured(0.6)
    assert [scores.card for scores in board.scores()] == [made_cards.measured(0.6)] * 2
    assert not any("by_difference" in path.read_text("utf-8") for path in Path("board/submissions").iterdir())
    assert LEAD in Path("board/README.md").read_text(encoding="utf-8")
    assert run("leaderboard", "check", "board").status == 0
    rules = Path("board/board.yaml")
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("measure: views", "measure: 7"), encoding="utf-8")
    assert "board.yaml: predictor.card: measure: " in run("leaderboard", "build", "board").line

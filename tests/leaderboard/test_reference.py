"""Win rates against a reference: which one, that they stand when systems come and go, and what boards say they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from command_line import Run, in_process
from made_scores import results_of, score_rows, write
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.reference import against, reference_of
from popbench.leaderboard.results import compute
from popbench.leaderboard.terminal import show
from popbench.report.page import board_page
from popbench.scores.scores import merge
from popbench.scores.sources import read_source

CONTROLS = ("verbatim|pe|g", "verbatim|basic|g", "a|basic|g", "a|pe|g")


@pytest.fixture
def popbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


def of(found: dict[str, Any]) -> str | None:
    return reference_of(found, found["predictors"][0]["name"], found["systems"][0]["task"])


def column(found: dict[str, Any], reference: str) -> dict[str, dict[str, Any]]:
    return against(found, found["predictors"][0]["name"], found["systems"][0]["task"], reference)


@pytest.mark.parametrize(
    ("systems", "wanted"),
    [
        ((*CONTROLS, "human"), "human"),
        (CONTROLS, "verbatim|basic|g"),
        (("verbatim[label=x]|pe|g", "a|basic|g", "b|basic|g"), "verbatim[label=x]|pe|g"),
        (("a|basic|g", "a|pe|g", "b|pe|g"), None),
        (("verbatim|basic|g", "a|basic|g"), None),
    ],
)
def test_the_reference_is_the_human_row_else_the_control(
    tmp_path: Path, systems: tuple[str, ...], wanted: str | None
) -> None:
    found = results_of(tmp_path, score_rows(systems))
    assert of(found) == wanted
    assert "reference" not in found
    assert ("Win rate against" in markdown(found)) is (wanted is not None)


@pytest.mark.parametrize("repeats", [1, 3])
def test_clones_move_mean_win_rates_and_not_the_rates_against_the_reference(tmp_path: Path, repeats: int) -> None:
    systems = ("a|basic|g", "b|basic|g", "c|basic|g", "verbatim|basic|g")
    rows = score_rows(systems, prompts=40, repeats=repeats)
    clones = [
        {**row, "system": f"clone{number}|basic|g"}
        for number in range(4)
        for row in rows
        if row["system"] == systems[2]
    ]
    few, many = results_of(tmp_path, rows), results_of(tmp_path, [*rows, *clones])
    rates = [{row["system"]: row["mean_win_rate"] for row in found["systems"]} for found in (few, many)]
    assert rates[0]["a|basic|g"] > rates[1]["a|basic|g"] + 0.02
    ours, theirs = (column(found, systems[3]) for found in (few, many))
    for system in systems[:3]:
        for end in ("value", "low", "high", "exact"):
            assert ours[system][end] == theirs[system][end]
    cells = [
        {tuple(line.split(" | ")[2:5]): line.split(" | ")[6] for line in markdown(found).splitlines()
         if line.startswith("| ") and line.count(" | ") > 10}
        for found in (few, many)
    ]  # fmt: skip
    assert all(cells[1][key] == cell for key, cell in cells[0].items())


def test_every_output_has_the_column_and_says_what_the_numbers_are_about(tmp_path: Path) -> None:
    found = results_of(tmp_path, score_rows((*CONTROLS, "human"), prompts=20))
    rate = column(found, "human")["a|pe|g"]
    cell = f"{100 * rate['value']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
    text, page = markdown(found), board_page(found, "Board", [])
    assert "| Win rate against human, % |" in text
    assert f"| {cell} |" in text
    assert "Against human, %" in page
    for said in (text, page):
        assert "are about prompts like these, drawn anew within the same categories, as this predictor scores" in said
        assert "depend on which systems are on the board; the win rate against human does not." in said
        assert "decided by this predictor" in said
    for width in (60, 80, 110, 200):
        console = Console(record=True, width=width)
        show(found, console)
        shown = console.export_text()
        assert cell in shown
        assert "against" in shown
        assert "decided by this predictor" in " ".join(shown.split())
        assert all(len(line) <= width for line in shown.splitlines())


def test_a_chosen_reference_is_in_the_results_and_an_unknown_one_is_refused(tmp_path: Path, popbench: Run) -> None:
    write(tmp_path / "scores.jsonl", score_rows(CONTROLS, prompts=20))
    done = popbench("leaderboard", "build", "scores.jsonl", "--out", "board", "--reference", "a|pe|g")
    assert done.status == 0, done.err
    board = json.loads((tmp_path / "board/board.json").read_text(encoding="utf-8"))
    assert board["reference"] == of(board) == "a|pe|g"
    assert "| Win rate against a\\|pe\\|g, % |" in (tmp_path / "board/README.md").read_text(encoding="utf-8")
    refused = popbench("leaderboard", "build", "scores.jsonl", "--out", "other", "--reference", "a|pee|g")
    assert refused.status == 2
    assert "unknown reference 'a|pee|g': did you mean 'a|pe|g'?" in refused.line
    assert not (tmp_path / "other").exists()


def test_a_run_has_its_reference_in_its_settings_and_an_unknown_one_costs_nothing(
    tmp_path: Path, popbench: Run
) -> None:
    chosen = ("--task", "popcorn_concrete", "--limit", "5", "--out", "run", "--reference")
    refused = popbench("eval", *chosen, "verbatim|basic|other")
    assert refused.status == 2
    assert "unknown reference 'verbatim|basic|other': did you mean 'verbatim|basic|kinetic'?" in refused.line
    assert not (tmp_path / "run").exists()
    assert popbench("eval", *chosen, "shotlist|basic|kinetic").status == 0
    about = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert about["config"]["reference"] == "shotlist|basic|kinetic"
    board = (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")
    assert "| Win rate against shotlist\\|basic\\|kinetic, % |" in board
    again = ("eval", "--config", "run/run.json", "--out", "run", "--reference", "shotlist|pe|kinetic", "--json")
    assert popbench(*again).status == 0
    assert "Win rate against shotlist\\|pe" in (tmp_path / "run/leaderboard.md").read_text(encoding="utf-8")


def test_a_table_without_the_reference_has_no_column(tmp_path: Path) -> None:
    rows = [
        {**row, "predictor": predictor}
        for predictor, systems in (("p", CONTROLS), ("q", CONTROLS[2:]))
        for row in score_rows(systems)
    ]
    sources = merge(read_source(write(tmp_path / "scores.jsonl", rows)))
    found = compute(sources, reference="verbatim|pe|g")
    assert reference_of(found, "q", "t") is None

"""What people say of pairs, on the page of a run: their verdicts in the matrix, above the predictor's in a tooltip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser import chromium, opened
from people_audience import A, B, make_voted_run, vote, write_lines
from popbench.leaderboard.run_board import read_board, with_people
from popbench.report.write import write_report
from popbench.runs.directory import HeldDirectory
from popbench.runs.run_json import read_finished

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_a_cell_with_votes_shows_people_first(browser: Browser, tmp_path: Path) -> None:
    run = make_voted_run(tmp_path / "run", (A, B), prompts=20)
    write_lines(run / "votes.jsonl", [vote(prompt, "left", prompt) for prompt in range(20)])
    run_json = read_finished(run)
    with HeldDirectory(run) as directory:
        board = read_board(run, run_json["config"], "people")
        assert board is not None
        with_people(directory, board, run_json)
    assert json.loads((run / "results.json").read_text(encoding="utf-8"))["pairs"][0]["verdict"] == "worse"
    with opened(browser, write_report(run)) as found:
        (headline,) = found.texts("p.people")
        assert headline.startswith(
            "By people (20 votes by 20 voters, on 1 of 1 pair): the one pair is decided: a|basic"
        )
        cell = found.page.locator("table.matrix:visible td[data-people]", has_text="100.0").first
        assert cell.get_attribute("class") == "b4"
        for reach in (cell.hover, cell.focus):
            found.page.locator("h1").hover()
            reach()
            text = found.page.locator("#tooltip").inner_text()
            assert "By people, the row is better: 100.0 [" in text
            assert "20 votes on 20 prompts." in text
            assert text.index("By people") < text.index("By the predictor. Decided: the row is worse.")
            assert text.count("By people") == 1
        assert all("ERR_FILE_NOT_FOUND" in line for line in found.complaints)  # clips, which this run lacks
        assert found.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

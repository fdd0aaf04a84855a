"""What several predictors decide together: against the statistics of plain arrays, and in the words of every output."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.panel_text import panel_rows, panel_sentence
from popbench.leaderboard.results import compute
from popbench.leaderboard.terminal import show
from popbench.report.page import board_page
from popbench.scores.rows import ScoreRow
from popbench.scores.scores import Scores


def scored(predictor: str, values: Any, systems: str = "abc") -> Scores:
    """Return scores values[system, prompt] by a predictor."""
    rows = [
        ScoreRow(system, "t", f"p{i:03d}", 0, "xy"[i % 2], "ok", float(value))
        for system, of_system in zip(systems, values, strict=True)
        for i, value in enumerate(of_system)
    ]
    tasks: dict[str, dict[str, Any]] = {"t": {"hash": None, "group": None, "prompts": None}}
    return Scores(predictor, predictor, "views", False, rows, tasks)


def of_three(prompts: int = 40) -> list[Scores]:
    """Return three predictors: all have a over c, and one alone has a over b."""
    rng = np.random.default_rng(2)
    found = []
    for name, lead in (("one", 3.0), ("two", 0.0), ("three", 0.0)):
        noise = rng.lognormal(0, 1, (3, prompts))
        noise[0], noise[1] = 1.5 * noise[2] + lead * noise[1], 1.5 * noise[1]
        found.append(scored(name, noise))
    return found


def test_shares_verdicts_and_what_hangs_on_one_are_those_of_the_arrays() -> None:
    sources = of_three()
    found = compute(sources)
    (table,) = found["panel"]
    assert table["predictors"] == ["one", "two", "three"]
    assert [(pair["a"], pair["b"]) for pair in table["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    by_predictor = {(pair["predictor"], pair["a"], pair["b"]): pair["win_rate"]["value"] for pair in found["pairs"]}
    for pair in table["pairs"]:
        rates = [by_predictor[name, pair["a"], pair["b"]] for name in table["predictors"]]
        assert pair["win_rate"] == pytest.approx(np.mean(rates))
        sides = np.sign(np.array(rates) - 0.5)
        assert pair["agreeing"] == pytest.approx((1 + sides * np.sign(np.mean(rates) - 0.5)).mean() / 2)
    sure = table["pairs"][1]
    assert (sure["verdict"], sure["agreeing"], sure["survives"]) == ("better", 1, True)
    hangs = table["pairs"][0]
    assert (hangs["verdict"], hangs["survives"]) == ("better", False)


def test_predictors_are_compared_on_what_all_of_them_scored() -> None:
    rng = np.random.default_rng(5)
    first, second = scored("one", rng.lognormal(size=(3, 20))), scored("two", rng.lognormal(size=(2, 15)), "bc")
    (table,) = compute([first, second])["panel"]
    assert (table["n"], len(table["pairs"])) == (15, 1)
    assert (table["pairs"][0]["a"], table["pairs"][0]["b"]) == ("b", "c")


def test_one_predictor_is_no_panel_and_few_prompts_have_no_verdict() -> None:
    assert "panel" not in compute(of_three()[:1])
    found = compute(of_three(8))
    assert {(pair["verdict"], pair["survives"]) for pair in found["panel"][0]["pairs"]} == {(None, None)}
    assert "judge no pair on so few prompts of t" in panel_sentence(found, "t")
    assert {row[4] for row in panel_rows(found, "t")} == {"–"}


def test_every_output_says_what_the_panel_decides() -> None:
    found = compute(of_three())
    told = panel_sentence(found, "t")
    start = "Together, 3 predictors decide 2 of the 3 pairs on t, of which 1 would be the same without any one of them;"
    assert told.startswith(start)
    terminal = io.StringIO()
    show(found, Console(file=terminal, width=400))
    assert told in terminal.getvalue()
    assert told in board_page(found, "Board")
    text = markdown(found)
    assert told in text
    assert "| a over c | 100.0 | better | 100.0 | the same |" in text
    assert "| better | " in text
    assert " | another |" in text

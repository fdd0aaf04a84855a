"""How far a board's verdicts carry: against plain loops, on a law that is known, and in the words of every output."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations
from math import log2
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import norm

import made_cards
from made_scores import grouped
from popbench.cards.card import PredictorCard
from popbench.leaderboard.carries import worth
from popbench.leaderboard.carries_text import UNKNOWN
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.results import compute
from popbench.leaderboard.terminal import show
from popbench.records import Scale
from popbench.report.page import board_page
from popbench.scores.rows import ScoreRow
from popbench.scores.scores import Scores


def scored(values: Any, card: PredictorCard | None, scale: Scale = "positive", predictor: str = "p") -> Scores:
    """Return scores of systems a, b, ...: values[system, prompt, repeat], None for an invalid sample."""
    invalid = 0.0 if scale == "positive" else None
    rows = [
        ScoreRow("abcdef"[s], "t", f"p{i:03d}", r, "xy"[i % 2], *(("invalid", invalid) if x is None else ("ok", x)))
        for s, of_system in enumerate(values)
        for i, of_prompt in enumerate(of_system)
        for r, x in enumerate(of_prompt)
    ]
    tasks: dict[str, dict[str, Any]] = {"t": {"hash": None, "group": None, "prompts": None}}
    return Scores(predictor, predictor, "views", False, rows, tasks, card=card, scale=scale)


def drawn(systems: int = 3, prompts: int = 14, repeats: int = 2, invalid: float = 0.1) -> list[Any]:
    rng = np.random.default_rng(8)
    values = rng.lognormal(3, 1, (systems, prompts, repeats))
    gone = rng.random(values.shape) < invalid
    return [
        [[None if g else float(x) for x, g in zip(xs, gs, strict=True)] for xs, gs in zip(of, of_gone, strict=True)]
        for of, of_gone in zip(values, gone, strict=True)
    ]


@pytest.mark.parametrize("scale", ["positive", "real"])
def test_the_numbers_are_those_of_plain_loops(scale: Scale) -> None:
    values = drawn()
    card = made_cards.given([0.55, 0.65, 0.85], [0.5, 1.5], scale=scale)
    (row,) = compute([scored(values, card, scale)])["carries"]

    def accuracy(size: float) -> float:
        return 0.55 if size < 0.5 else 0.65 if size < 1.5 else 0.85

    everything = []
    for pair, (a, b) in zip(row["pairs"], combinations(range(3), 2), strict=True):
        wins, rates = [], []
        for of_a, of_b in zip(values[a], values[b], strict=True):
            of_prompt = []
            for x, y in zip(of_a, of_b, strict=True):
                if x is None or y is None:
                    of_prompt.append(0.5 if x is y else float(y is None))
                    continue
                d = log2(x) - log2(y) if scale == "positive" else x - y
                wins.append(accuracy(abs(d)))
                of_prompt.append(accuracy(abs(d)) if d > 0 else 1 - accuracy(abs(d)))
            rates.append(sum(of_prompt) / len(of_prompt))
        assert pair["win_in_truth"]["value"] == pytest.approx(np.mean(wins))
        assert pair["win_in_truth"]["low"] == pytest.approx(np.mean(wins) - 0.05)
        assert pair["true_win_rate"]["value"] == pytest.approx(np.mean(rates))
        assert pair["true_win_rate"]["low"] < np.mean(rates) < pair["true_win_rate"]["high"]
        everything += wins
    assert row["win_in_truth"]["value"] == pytest.approx(np.mean(everything))
    assert row["smallest_win_rate"] == pytest.approx(12 / 14)
    assert (row["measure"], row["n"]) == ("views", 14)


@pytest.mark.parametrize("correlation", [0.3, 0.7])
def test_the_true_win_rate_of_a_known_law_is_in_its_interval(correlation: float) -> None:
    rng = np.random.default_rng(11)
    card = made_cards.measured(correlation, 800)
    predicted = rng.standard_normal((2, 200, 60, 1))
    ours, theirs = 2 ** (predicted[0] + 0.4), 2 ** predicted[1]
    rows: Any = worth(card, ours, theirs, "positive", np.zeros(60, np.int64))[0]
    true = norm.cdf(0.4 * correlation / np.sqrt(2))
    held = [row["true_win_rate"]["low"] <= true <= row["true_win_rate"]["high"] for row in rows]
    assert np.mean(held) >= 0.95


def test_a_predictor_that_is_no_better_than_chance_means_nothing_at_any_win_rate() -> None:
    card = made_cards.given([0.5, 0.52], [1.0], slack=0.05)
    found = compute([scored(drawn(invalid=0), card)])
    assert found["carries"][0]["smallest_win_rate"] is None
    assert "not known to be better than chance, so that no predicted win rate means a true one above 50 %" in (
        markdown(found)
    )


def test_where_nothing_is_won_nothing_is_said_of_wins() -> None:
    found = compute([scored([[[3.0]] * 12, [[3.0]] * 12], made_cards.measured())])
    (row,) = found["carries"]
    assert row["win_in_truth"] is row["smallest_win_rate"] is row["pairs"][0]["win_in_truth"] is None
    assert row["pairs"][0]["true_win_rate"]["value"] == 0.5
    assert "nothing here is won in views: no valid scores differ" in markdown(found)
    assert "nothing here is won" in board_page(found, "Board")


def test_a_win_over_an_invalid_sample_is_sure_and_no_win_of_the_predictor() -> None:
    values: list[Any] = [[[4.0]] * 12, [[None]] * 12]
    (row,) = compute([scored(values, made_cards.measured())])["carries"]
    assert row["pairs"][0]["win_in_truth"] is None
    assert row["pairs"][0]["true_win_rate"]["value"] == 1


def test_a_board_tells_of_the_card_everywhere() -> None:
    card = {**made_cards.measured(0.6), "remarks": ["3 of 9 videos refused"]}
    found = compute([scored(drawn(4, 30, 1, 0.0), card)])  # type: ignore[arg-type]
    assert found["predictors"][0]["card"] == card
    text, page, terminal = markdown(found), board_page(found, "Board"), io.StringIO()
    show(found, Console(file=terminal, width=400))
    for shown in (text.replace("\\", ""), page, terminal.getvalue()):
        assert "By the card of p, a win on a prompt here is a win in views with probability" in shown
        assert "is the smallest predicted win rate of a pair by itself that means a true one above 50 %" in shown
        assert UNKNOWN not in shown
    for shown in (text.replace("\\", ""), page):
        assert "by its card, SRC 0." in shown
        assert "Of the card: 3 of 9 videos refused" in shown
        assert "to have no taste for one of the systems; of two categories" in shown
    assert text.count("| a over ") + text.count(" over a |") == 3


def test_larger_boards_show_the_pairs_that_are_furthest_from_one_half() -> None:
    found = compute([scored(drawn(6, 20, 1, 0.0), made_cards.measured())])
    text = markdown(found)
    assert text.count(" over ") >= 10
    assert "5 more pairs: in the JSON file beside this board." in text


def test_predictors_without_a_card_are_named_once_and_results_have_no_field_of_it() -> None:
    without = scored(drawn(invalid=0), None)
    other = scored(drawn(invalid=0), made_cards.measured(), predictor="q")
    found = compute([without])
    assert "carries" not in found
    assert "card" not in found["predictors"][0]
    assert markdown(found).count(UNKNOWN) == 1
    assert board_page(found, "Board").count(UNKNOWN) == 1
    both = compute([without, other])
    assert [row["predictor"] for row in both["carries"]] == ["q"]
    terminal = io.StringIO()
    show(both, Console(file=terminal, width=400))
    assert terminal.getvalue().count(f"Predictor p: {UNKNOWN}.") == 1
    assert "Predictor q" not in terminal.getvalue()


def test_demo_boards_say_already_that_they_tell_nothing() -> None:
    found = compute([replace(scored(drawn(invalid=0), None), demo=True)])
    assert UNKNOWN not in markdown(found) + board_page(found, "Board")


def test_a_card_of_another_scale_and_a_lone_system_have_no_row() -> None:
    assert "carries" not in compute([scored(drawn(invalid=0), made_cards.measured(real=True))])
    assert "carries" not in compute([scored(drawn(1, invalid=0), made_cards.measured())])
    tables = compute([replace(grouped()[0], card=made_cards.measured())])["carries"]
    assert [row["task"] for row in tables] == ["g", "t1", "t2", "t3"]

"""The order of a board: rows, ranks and rank sets never contradict one another, on any win rates and verdicts."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from made_scores import results_of, score_rows
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.order import ranks
from popbench.leaderboard.shown import ranked
from popbench.leaderboard.terminal import show
from popbench.report.page import board_page
from popbench.stats import head_to_head_ranks, rank_sets


def boards(number: int) -> Any:
    """Yield win rates, verdicts and mean win rates: circles, ties, noise about an order, and nearly equal systems."""
    rng = np.random.default_rng(8)
    for repetition in range(number):
        n_systems = int(rng.choice([2, 3, 5, 8, 13]))
        first, second = np.triu_indices(n_systems, 1)
        strengths = rng.normal(size=n_systems)
        rates = (
            rng.random(len(first)),
            rng.integers(0, 5, len(first)) / 4,
            np.clip(1 / (1 + np.exp(strengths[second] - strengths[first])) + rng.normal(0, 0.05, len(first)), 0, 1),
            0.5 + rng.normal(0, 0.04, len(first)),
        )[repetition % 4]
        margin = rng.choice([0.001, 0.05, 0.1, 0.3])
        decided = np.where(rates > 0.5 + margin, 1, np.where(rates < 0.5 - margin, -1, 0))
        full = np.zeros((n_systems, n_systems))
        full[first, second], full[second, first] = rates, 1 - rates
        yield rates, decided, full.sum(axis=1) / (n_systems - 1)


def test_the_first_row_has_rank_1_and_no_row_is_out_of_order() -> None:
    for rates, decided, means in boards(400):
        rank, low, high = ranks(rates, decided, means)
        rows = sorted(range(len(means)), key=lambda system: (rank[system], -means[system]))
        of_rows = [rank[system] for system in rows]
        assert of_rows[0] == 1
        for (before, after), place in zip(itertools.pairwise(of_rows), itertools.count(2), strict=False):
            assert after in (before, place)
        assert all(lowest <= value <= highest for lowest, value, highest in zip(low, rank, high, strict=True))
        # A set that holds the true rank still does.
        lowest, highest = rank_sets(decided, len(means))
        assert (np.array(low) <= lowest).all()
        assert (np.array(high) >= highest).all()


def test_without_circles_sets_are_those_of_the_verdicts_and_none_stands_above_one_that_is_better() -> None:
    for rates, decided, means in boards(400):
        n_systems = len(means)
        first, second = np.triu_indices(n_systems, 1)
        better = {
            (a, b) if verdict > 0 else (b, a) for a, b, verdict in zip(first, second, decided, strict=True) if verdict
        }
        reached = set(better)
        for _ in range(n_systems):
            reached |= {(a, d) for a, b in reached for c, d in better if b == c}
        if any(a == b for a, b in reached):
            continue
        rank, low, high = ranks(rates, decided, means)
        assert all(rank[a] < rank[b] for a, b in better)
        lowest, highest = rank_sets(decided, n_systems)
        assert (low, high) == (lowest.tolist(), highest.tolist())


def test_ranks_are_head_to_head_ranks_where_none_is_level_or_in_a_circle() -> None:
    rates = np.array([0.6, 0.7, 0.4, 0.8, 0.4, 0.1])
    rank, _, _ = ranks(rates, np.zeros(6, int), np.array([0.56, 0.53, 0.2, 0.7]))
    assert rank == head_to_head_ranks(rates, 4).tolist() == [2, 3, 4, 1]


def test_after_two_level_systems_a_rank_is_left_out() -> None:
    level = np.array([0.5, 0.7, 0.6])
    assert ranks(level, np.zeros(3, int), np.array([0.6, 0.55, 0.35]))[0] == [1, 1, 3]


def test_systems_in_a_circle_share_a_rank_and_verdicts_in_one_are_no_order() -> None:
    round_about = np.array([0.9, 0.1, 0.9])
    assert ranks(round_about, np.zeros(3, int), np.full(3, 0.5)) == ([1, 1, 1], [1, 1, 1], [3, 3, 3])
    assert ranks(round_about, np.array([1, -1, 1]), np.full(3, 0.5)) == ([1, 1, 1], [1, 1, 1], [2, 2, 2])


def circle(tmp_path: Path) -> dict[str, Any]:
    """A board on which the system of the highest mean win rate loses most prompts to another."""
    scores = {"a": (5, 5, 0, 5), "b": (4, 4, 4, 0), "c": (1, 1, 5, 4), "d": (0, 2, 1, 3)}
    rows = [
        {**row, "popularity": 1 + scores[row["system"]][int(row["prompt_id"][1:]) % 4]}
        for row in score_rows(("a", "b", "c", "d"), prompts=40)
    ]
    return results_of(tmp_path, rows)


@pytest.mark.parametrize("out", ["markdown", "terminal", "page"])
def test_every_output_has_that_order_and_says_which(tmp_path: Path, out: str) -> None:
    found = circle(tmp_path)
    wanted = [(row["system"], row["rank"]["value"]) for row in ranked(found, found["predictors"][0]["name"], "t")]
    assert [rank for _, rank in wanted] == sorted(rank for _, rank in wanted)
    if out == "markdown":
        text = markdown(found)
        rows = re.findall(r"^\| \d+ \| (\d+) \[[^|]*\| (\w+) \|", text, re.MULTILINE)
        assert [(system, int(rank)) for rank, system in rows] == wanted
        assert "Rows and ranks are in one order: by the number of systems that win most prompts" in text
    elif out == "terminal":
        console = Console(record=True, width=200)
        show(found, console)
        rows = re.findall(r"^ *(\d+) \[\d+, \d+\] +(\w+) ", console.export_text(), re.MULTILINE)
        assert [(system, int(rank)) for rank, system in rows] == wanted
    else:
        page = board_page(found, "Board", [])
        rows = re.findall(r'class="value rank">(\d+)<.*?class="llm">(\w+)<', page, re.DOTALL)
        assert [(system, int(rank)) for rank, system in rows] == wanted
        assert "Rows and ranks are in one order" in page

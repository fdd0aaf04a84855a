"""Boards of scores of any sign: they rank as an increasing transform above 0 does, and invalid samples below all."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_scores import refused, results_of, score_rows
from popbench import stats
from popbench.leaderboard.markdown import markdown

REAL = {"scale": "real", "predictor": "d", "predictor_name": "judge", "unit": "points"}


def logarithms(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same rows with logarithms of their scores, which are below 0 too, and none for the invalid ones."""
    return [
        {**row, **REAL, "popularity": None if row.get("status") == "invalid" else math.log(row["popularity"] / 20)}
        for row in rows
    ]


def with_invalid(rows: list[dict[str, Any]], every: int = 5) -> list[dict[str, Any]]:
    """Return the rows, of which some, at random, are invalid."""
    chance = random.Random(3)
    return [{**row, "status": "invalid", "popularity": 0} if not chance.randrange(every) else row for row in rows]


@pytest.mark.parametrize("repeats", [1, 3])
def test_ranks_win_rates_and_verdicts_are_those_of_the_positive_scores(tmp_path: Path, repeats: int) -> None:
    rows = with_invalid(score_rows(prompts=30, repeats=repeats))
    positive, real = results_of(tmp_path, rows), results_of(tmp_path, logarithms(rows))
    assert min(row["median"]["value"] for row in real["systems"]) < 0
    for one, other in zip(positive["pairs"], real["pairs"], strict=True):
        assert {**one, "predictor": ""} == {**other, "predictor": ""}
    for one, other in zip(positive["systems"], real["systems"], strict=True):
        for name in ("mean_win_rate", "mean_win_rate_interval", "bradley_terry", "rank", "invalid", "n"):
            assert one[name] == other[name]
    ((one,), (other,)) = (found["minimum_detectable_win_rate"] for found in (positive, real))
    assert one["all_pairs"] == other["all_pairs"]


def test_medians_are_the_transformed_ones_with_the_transformed_ends(tmp_path: Path) -> None:
    rows = with_invalid(score_rows(prompts=31), every=3)
    positive, real = results_of(tmp_path, rows), results_of(tmp_path, logarithms(rows))
    for one, other in zip(positive["systems"], real["systems"], strict=True):
        for end in ("value", "low", "high"):
            expected = one["median"][end]
            assert other["median"][end] == (pytest.approx(math.log(expected / 20)) if expected else None)


def test_a_score_of_0_is_a_score_on_a_real_scale(tmp_path: Path) -> None:
    rows = [
        {**REAL, "system": system, "task": "t", "prompt_id": f"p{n}", "popularity": value, "status": status}
        for n in range(12)
        for system, value, status in (("zero", 0, "ok"), ("below", -1, "ok"), ("none", None, "invalid"))
    ]
    found = results_of(tmp_path, rows)
    rates = {(pair["a"], pair["b"]): pair["win_rate"]["value"] for pair in found["pairs"]}
    assert rates == {("below", "none"): 1.0, ("below", "zero"): 0.0, ("none", "zero"): 0.0}
    invalid = {row["system"]: row["invalid"] for row in found["systems"]}
    assert invalid == {"zero": 0, "below": 0, "none": 12}
    (none,) = (row for row in found["systems"] if row["system"] == "none")
    assert none["median"] == {"value": None, "low": None, "high": None}
    text = markdown(found)
    assert "| invalid [–] |" in text
    assert "On a real scale (judge), where 0 is a score, they have none and rank below every score." in text


def test_invalid_samples_tie_with_one_another(tmp_path: Path) -> None:
    rows = [
        {**REAL, "system": system, "task": "t", "prompt_id": f"p{n}", "popularity": None, "status": "invalid"}
        for n in range(12)
        for system in ("a", "b")
    ]
    (pair,) = results_of(tmp_path, rows)["pairs"]
    assert (pair["wins"], pair["ties"], pair["losses"], pair["win_rate"]["value"]) == (0, 12, 0, 0.5)


def test_the_scale_stands_in_the_results_only_if_it_is_real(tmp_path: Path) -> None:
    assert results_of(tmp_path, logarithms(score_rows()))["predictors"] == [
        {"name": "judge", "digest": "d", "unit": "points", "scale": "real"}
    ]
    assert "scale" not in results_of(tmp_path, score_rows())["predictors"][0]


def test_scores_on_two_scales_share_no_board(tmp_path: Path) -> None:
    from made_scores import write
    from popbench.errors import UsageError
    from popbench.scores.scores import merge
    from popbench.scores.sources import read_source

    real = read_source(write(tmp_path / "real.jsonl", [{**row, **REAL} for row in score_rows(("a",))]))
    other = [{**row, "predictor": "d", "predictor_name": "judge", "unit": "points"} for row in score_rows(("b",))]
    with pytest.raises(UsageError, match=r"on a positive scale in .*other.jsonl, and on a real one in .*real.jsonl"):
        merge([*real, *read_source(write(tmp_path / "other.jsonl", other))])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"popularity": -1, "scale": ""}, "popularity is -1, expected no negative number (scores of any sign are on a"),
        ({"scale": "log"}, "unknown scale 'log'"),
        ({"popularity": 0, "status": "invalid"}, "with status invalid (on a real scale it has none)"),
        ({"popularity": None}, "popularity is nan, expected a finite number"),
    ],
)
def test_a_row_that_is_no_score_of_its_scale_is_refused_in_a_line(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    rows = [{**row, **REAL, **change} for row in score_rows()]
    message = refused(tmp_path, rows)
    assert told in message
    assert "\n" not in message


def test_statistics_take_minus_infinity_on_a_real_scale_alone() -> None:
    values = np.array([[[-np.inf], [2.0]], [[-3.0], [-np.inf]], [[-np.inf], [-9.0]]])
    assert stats.pairwise_outcomes(values, "real").tolist() == [[0, 1], [0.5, 1], [1, 0]]
    for wrong in (np.inf, np.nan):
        with pytest.raises(ValueError, match="finite, or minus infinity for an invalid sample"):
            stats.pairwise_outcomes(np.full((2, 2, 1), wrong), "real")
    with pytest.raises(ValueError, match="finite and >= 0"):
        stats.pairwise_outcomes(values)

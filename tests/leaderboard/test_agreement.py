"""How far two predictors agree on the order of systems, against scipy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import kendalltau

import known_law_components
from made_scores import results_of, score_rows, scores, write
from popbench.leaderboard.markdown import agreements, markdown
from popbench.leaderboard.results import compute
from popbench.leaderboard.terminal import show
from popbench.report.page import board_page
from popbench.scores.scores import merge
from popbench.scores.sources import read_source
from popbench.stats import Resamples, kendall_tau_b, rank_agreement, reordered_pairs

# -- statistics


@pytest.mark.parametrize("values", [3, 10, 10**6])
def test_tau_is_scipys_with_and_without_ties(values: int) -> None:
    rng = np.random.default_rng(values)
    x, y = rng.integers(0, values, (2, 40, 9)).astype(float)
    for tau, a, b in zip(kendall_tau_b(x, y), x, y, strict=True):
        assert tau == pytest.approx(kendalltau(a, b).statistic, nan_ok=True)


def test_rankings_that_are_all_ties_have_no_tau() -> None:
    resamples = Resamples.draw(np.zeros(6, np.int64), 50)
    assert np.isnan(kendall_tau_b([[1.0, 1.0]], [[1.0, 2.0]])).all()
    assert rank_agreement(np.ones((3, 6)), np.arange(18.0).reshape(3, 6), resamples) is None


def test_the_interval_is_of_both_rankings_on_the_same_resampled_prompts() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 9, (2, 5, 20)).astype(float)
    resamples = Resamples.draw(np.repeat([0, 1], 10), 400, seed=2)
    literal = [
        kendalltau((first * draws).sum(axis=1), (second * draws).sum(axis=1)).statistic for draws in resamples.draws.T
    ]
    found = rank_agreement(first, second, resamples)
    assert found is not None
    assert found[0] == pytest.approx(kendalltau(first.sum(axis=1), second.sum(axis=1)).statistic)
    assert found[1:] == pytest.approx(np.nanquantile(np.array(literal, dtype=float), [0.025, 0.975]))
    assert rank_agreement(first, first, resamples) == (1, 1, 1)
    assert rank_agreement(first, 8 - first, resamples) == (-1, -1, -1)


def test_many_systems_are_compared_on_fewer_resamples() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 600, (300, 40)).astype(float)
    resamples = Resamples.draw(np.zeros(40, np.int64), 2000)
    found = rank_agreement(values, values + rng.integers(0, 300, values.shape), resamples)
    assert found is not None
    assert 0 < found[1] < found[2] < 1


@pytest.mark.parametrize(("a", "b"), [((3, 5), (2, 5)), ((3, 4), (3, 4)), ((1, 5), (1, 5))])
def test_shapes_that_do_not_fit_are_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        rank_agreement(np.ones(a), np.ones(b), Resamples.draw(np.zeros(5, np.int64), 10))


def test_reordered_pairs_are_those_of_one_cell_whose_order_changes() -> None:
    before = [1.0, 2.0, 3.0, 5.0, 5.0, 1.0, np.nan, 4.0]
    after = [2.0, 1.0, 3.0, 5.0, 6.0, np.nan, 2.0, 4.0]
    cells = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    reordered, pairs = reordered_pairs(before, after, cells)
    assert reordered.tolist() == [1, 1, 0, 0]  # a tie that is broken is another order
    assert pairs.tolist() == [3, 1, 0, 0]
    same, _ = reordered_pairs([1.0, 1.0], [1.0, 1.0 + 1e-7], np.array([0, 0]))  # no more than rounding
    assert same.tolist() == [0]


# -- boards


def two(tmp_path: Path, systems: tuple[str, ...] = ("a", "b", "c", "d"), tasks: tuple[str, ...] = ("t",)) -> Any:
    rows = [
        {**row, "popularity": row["popularity"] if predictor == "p" else row["popularity"] ** 2 / (1 + place % 3)}
        | {"predictor": predictor}
        for predictor in ("p", "q")
        for place, row in enumerate(score_rows(systems, tasks))
    ]
    return results_of(tmp_path, rows)


def test_a_board_of_two_predictors_says_how_far_they_agree(tmp_path: Path) -> None:
    found = two(tmp_path)
    (row,) = found["agreement"]
    rates = {
        predictor: [item["mean_win_rate"] for item in found["systems"] if item["predictor"] == predictor]
        for predictor in ("p", "q")
    }
    assert row["tau"]["value"] == pytest.approx(kendalltau(rates["p"], rates["q"]).statistic)
    assert (row["tau"]["low"], row["tau"]["high"]) == (None, None)
    verdicts: dict[tuple[str, str], list[str]] = {}
    for pair in found["pairs"]:
        verdicts.setdefault((pair["a"], pair["b"]), []).append(pair["verdict"])
    both = [two for two in verdicts.values() if "undecided" not in two]
    assert row["decided"] == {"pairs": 6, "both": len(both), "alike": sum(one == other for one, other in both)}
    assert both
    assert (row["task"], row["a"], row["b"], row["systems"], row["n"]) == ("t", "p", "q", 4, 12)
    (line,) = agreements(found)
    assert line.startswith("Predictors p and q agree on the order of the 4 systems with Kendall's tau ")
    assert "Predictors p and q agree" in markdown(found)
    console = Console(record=True, width=200)
    show(found, console)
    assert line in console.export_text()


def test_predictors_that_contradict_each_other_are_told_apart_from_those_that_decide_nothing(tmp_path: Path) -> None:
    strength: dict[str, dict[str, float]] = {"p": {"a": 1, "b": 2, "c": 4}, "q": {"a": 4, "b": 2.1, "c": 2}}
    rows = [
        {**row, "popularity": strength[predictor][row["system"]] * (1 + place % 7), "predictor": predictor}
        for predictor in ("p", "q")
        for place, row in enumerate(score_rows(("a", "b", "c"), prompts=42))
    ]
    for place, row in enumerate(rows):  # b and c are level by q
        if row["predictor"] == "q" and row["system"] == "b" and place % 2:
            row["popularity"] /= 2
    found = results_of(tmp_path, rows)
    assert found["agreement"][0]["decided"] == {"pairs": 3, "both": 2, "alike": 0}
    (line,) = agreements(found)
    assert line.endswith("(of 3 pairs both decide 2, and 0 of them alike)")
    few = results_of(tmp_path, [row for row in rows if row["prompt_id"] < "p08"])
    assert next(agreements(few)).endswith("(of 3 pairs both decide none)")


def test_a_file_of_an_earlier_version_shows_its_interval(tmp_path: Path) -> None:
    found = two(tmp_path)
    (row,) = found["agreement"]
    del row["decided"]
    row["tau"] = {"value": 0.6, "low": 0.2, "high": 0.9}
    (line,) = agreements(found)
    assert line.endswith("Kendall's tau 0.60 [0.20, 0.90]")
    assert line.replace("'", "&#39;") in board_page(found, "Board", [])


def test_every_table_is_in_the_one_line(tmp_path: Path) -> None:
    found = two(tmp_path, tasks=("t1", "t2"))
    assert [row["task"] for row in found["agreement"]] == ["t1", "t2"]
    (line,) = agreements(found)
    assert " on t1; t2 " in line


def test_one_system_has_no_order_to_agree_on(tmp_path: Path) -> None:
    found = two(tmp_path, systems=("a",))
    assert [row["tau"] for row in found["agreement"]] == [None]
    assert list(agreements(found)) == []


def test_a_board_of_one_predictor_says_nothing_of_agreement(tmp_path: Path) -> None:
    assert "agreement" not in results_of(tmp_path, score_rows())
    assert "agree" not in markdown(compute([scores()]))


def test_predictors_that_scored_different_prompts_are_compared_on_those_both_have(tmp_path: Path) -> None:
    rows = [
        {**row, "predictor": predictor}
        for predictor, prompts, systems in (("p", 12, ("a", "b", "c")), ("q", 9, ("a", "c", "d")))
        for row in score_rows(systems, prompts=prompts)
    ]
    found = compute(merge(read_source(write(tmp_path / "s.jsonl", rows))))
    (row,) = found["agreement"]
    assert (row["systems"], row["n"]) == (2, 9)
    assert row["tau"]["value"] in (-1, 1)


def test_a_run_with_two_predictors_has_their_agreement(tmp_path: Path) -> None:
    known_law_components.evaluate(tmp_path / "run", "law,title=1,label=x", "law,title=2,label=y", limit=6)
    results = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    (row,) = results["agreement"]
    assert row["tau"] in ({"value": 1.0, "low": None, "high": None}, None)
    assert (row["a"], row["b"]) == ("x", "y")

"""How far a predicted order carries: true probabilities are held, and what is said of a run follows from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, norm

import popbench.stats
from popbench.stats import (
    OrderAgreement,
    group_agreement,
    order_agreement,
    panel_verdicts,
    smallest_true_win,
    true_win_rate,
    win_in_truth,
)


def videos(correlation: float, n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    predicted = rng.standard_normal(n)
    return predicted, correlation * predicted + np.sqrt(1 - correlation**2) * rng.standard_normal(n)


def known(value: list[float], edges: list[float], slack: float = 0.0) -> OrderAgreement:
    of = np.array(value)
    return OrderAgreement(np.array(edges), of, of - slack, of + slack, np.full(len(of), 100), 50)


# -- of real videos


def test_one_bin_is_the_share_of_concordant_pairs() -> None:
    predicted, true = videos(0.5, 80)
    found = order_agreement(predicted, true, bins=1)
    assert found.value[0] == pytest.approx((1 + kendalltau(predicted, true).statistic) / 2)
    assert found.pairs[0] == 80 * 79 // 2


def test_probabilities_rise_with_the_difference_and_are_those_of_the_law() -> None:
    predicted, true = videos(0.6, 1200)
    found = order_agreement(predicted, true)
    assert (np.diff(found.value) >= 0).all()
    assert (np.diff(found.low) >= 0).all()
    assert (np.diff(found.high) >= 0).all()
    sizes = np.array([0.5, 1.5, 2.5])
    np.testing.assert_allclose(found.at(sizes)[0], norm.cdf(0.6 * sizes / np.sqrt(2 * (1 - 0.36))), atol=0.05)


def test_intervals_hold_the_accuracy_of_the_law() -> None:
    hold = 0
    for seed in range(300):
        found = order_agreement(*videos(0.4, 60, seed), bins=1)
        hold += found.low[0] <= 0.5 + np.arcsin(0.4) / np.pi <= found.high[0]
    assert hold / 300 > 0.92


def test_videos_that_hang_together_widen_intervals() -> None:
    rng = np.random.default_rng(1)
    groups = np.arange(200) % 20
    predicted, true = (
        rng.standard_normal(20)[groups] + 0.1 * rng.standard_normal(200),
        rng.standard_normal(20)[groups] + 0.1 * rng.standard_normal(200),
    )
    alone, together = order_agreement(predicted, true, bins=1), order_agreement(predicted, true, groups, bins=1)
    assert together.high[0] - together.low[0] > 2 * (alone.high[0] - alone.low[0])


def test_a_perfect_order_leaves_an_interval() -> None:
    found = order_agreement(np.arange(30), np.arange(30))
    assert (found.value == 1).all()
    assert (found.low < 0.95).all()
    assert (found.high == 1).all()


def test_true_ties_count_half_and_predicted_ties_are_left_out() -> None:
    found = order_agreement([0, 0, 1, 1, 2], [0, 0, 0, 0, 0], bins=1)
    assert found.value[0] == 0.5
    assert (found.pairs[0], found.equal) == (8, 2)


@pytest.mark.parametrize("n", [3, 4, 7, 40])
def test_every_pair_is_in_a_bin_and_no_bin_is_empty(n: int) -> None:
    predicted, true = videos(0.5, n)
    for given in (predicted, np.round(2 * predicted), np.r_[predicted[:-1], 1e9]):
        found = order_agreement(given, true, bins=8)
        assert found.pairs.min() > 0
        assert found.pairs.sum() + found.equal == n * (n - 1) // 2
        assert (np.diff(found.edges) > 0).all() or len(found.value) == 1


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("n", [12, 60])
def test_intervals_cover_although_pairs_share_videos(correlation: float, n: int) -> None:
    true = 0.5 + np.arcsin(correlation) / np.pi  # of two normal variables
    seeds = [1000 * n + int(100 * correlation) + 10_000 * number for number in range(300)]
    found = [order_agreement(*videos(correlation, n, seed), bins=1) for seed in seeds]
    assert sum(of.low[0] <= true <= of.high[0] for of in found) >= 0.92 * len(found)


def test_many_videos_are_sampled_always_alike() -> None:
    predicted, true = videos(0.5, 1600)
    first, second = (order_agreement(predicted, true, bins=2) for _ in range(2))
    np.testing.assert_array_equal(first.value, second.value)
    assert (1 + kendalltau(predicted, true).statistic) / 2 == pytest.approx(
        order_agreement(predicted, true, bins=1).value[0], abs=0.005
    )


def test_a_taste_for_groups_is_seen_in_groups() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 25)
    real = rng.standard_normal(1000)
    taste = 0.6 * rng.standard_normal(40)[groups]
    fair = group_agreement(real, real + 0.3 * rng.standard_normal(40)[groups], groups)
    partial = group_agreement(real + taste, real + 0.3 * rng.standard_normal(40)[groups], groups)
    assert partial.value[-1] < fair.value[-1]
    small = group_agreement(real[:300], real[:300], np.r_[groups[:275], 100 + np.arange(25)])
    assert small.groups == 11


def test_the_smallest_difference_is_where_the_curve_reaches_a_probability() -> None:
    curve = known([0.6, 0.8, 0.96], [0, 0.1, 0.2, 0.5], slack=0.02)
    assert curve.smallest_difference(0.95) == (0.2, 0.2, float("inf"))
    assert curve.smallest_difference(0.79) == (0.1, 0.1, 0.2)
    assert curve.smallest_difference(0.5) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0]), "a predicted and a true value each"),
        (([1.0, np.nan, 2.0], [1.0, 2.0, 3.0]), "finite"),
        (([1.0, 2.0], [1.0, 2.0]), "fewer than 3 groups"),
        (([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0, 0, 0]), "fewer than 3 groups"),
        (([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), "all predictions are equal"),
        (([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], None, 0), "at least 1 bin"),
        (([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], None, 1, 0.0), "level"),
    ],
)
def test_videos_that_tell_nothing_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order_agreement(*arguments)


# -- of a run


def test_a_win_in_truth_is_the_mean_over_the_differences_that_win_anything() -> None:
    curve = known([0.6, 0.8], [0, 1, 2], slack=0.05)
    differences = [[0.5, -3, 0, 1.5, np.inf], [0.5, 0.4, 0, 0, -0.1], [0, 0, 0, np.inf, 0]]
    of_pairs = np.array(win_in_truth(curve, differences)).T
    assert of_pairs[:2] == pytest.approx(np.array([(2.2 / 3, 2.05 / 3, 2.35 / 3), (0.6, 0.55, 0.65)]))
    assert np.isnan(of_pairs[2]).all()
    with pytest.raises(ValueError, match="NaN"):
        win_in_truth(curve, [[np.nan]])


def test_a_predicted_win_rate_shrinks_to_the_true_one_that_it_stands_for() -> None:
    differences = np.where(np.arange(100) < 70, 1.0, -1.0)
    strata = np.arange(100) % 5

    def rate(curve: OrderAgreement, of: Any) -> tuple[float, ...]:
        return tuple(float(end[0]) for end in true_win_rate(curve, [of], strata))

    value, low, high = rate(known([0.65], [0, 2]), differences)
    assert value == pytest.approx(0.5 + 0.3 * 0.4 / 2)
    assert low < value < high
    _, lower, higher = rate(known([0.65], [0, 2], slack=0.1), differences)
    assert lower <= low < high < higher
    assert rate(known([0.65], [0, 2]), np.zeros(100))[0] == 0.5
    assert rate(known([0.65], [0, 2]), np.full(100, np.inf))[0] == 1
    repeated = np.stack([differences, np.zeros(100)], axis=1)
    assert rate(known([0.65], [0, 2]), repeated)[0] == pytest.approx(0.5 + 0.3 * 0.4 / 4)
    with pytest.raises(ValueError, match="axes"):
        true_win_rate(known([0.65], [0, 2]), differences, strata)


@pytest.mark.parametrize(
    ("predicted", "correlation", "true"), [(0.6, 0.3, 0.530), (0.7, 0.3, 0.563), (0.7, 0.5, 0.604)]
)
def test_a_predicted_win_rate_stands_for_what_a_normal_law_says(
    predicted: float, correlation: float, true: float
) -> None:
    agreement = order_agreement(*videos(correlation, 1000))
    differences = np.sqrt(2) * (norm.ppf(predicted) + np.random.default_rng(3).standard_normal(20_000))
    value, low, high = (float(of[0]) for of in true_win_rate(agreement, [differences], np.zeros(20_000, dtype=int)))
    assert value == pytest.approx(true, abs=0.01)
    assert low < true < high


def test_the_smallest_true_win_is_that_which_the_number_of_prompts_decides() -> None:
    assert smallest_true_win(0.55, 100) == pytest.approx(0.61)
    assert smallest_true_win(0.45, 100) is None
    assert smallest_true_win(float("nan"), 100) is None
    assert smallest_true_win(0.6, 5) is None


# -- of a panel


def test_a_verdict_that_hangs_on_one_predictor_does_not_survive() -> None:
    agreed = np.tile(np.arange(60) % 4 > 0, (3, 1)).astype(float)
    one = np.full((3, 60), 0.5)
    one[0] = 1
    y = np.stack([agreed, one], axis=1)
    found = panel_verdicts(y, np.zeros(60, dtype=int), 1.96)
    assert found.verdicts.tolist() == [1, 1]
    assert found.agreeing == pytest.approx([1, (1 + 0.5 + 0.5) / 3])
    assert found.survives.tolist() == [True, False]


def test_predictors_that_disagree_decide_nothing() -> None:
    y = np.array([np.ones((1, 40)), np.zeros((1, 40))])
    found = panel_verdicts(y, np.zeros(40, dtype=int), 1.96)
    assert found.verdicts.tolist() == [0]
    assert found.agreeing.tolist() == [0.5]
    assert not found.survives[0]


@pytest.mark.parametrize("y", [np.ones((1, 3, 10)), np.ones((3, 10)), np.full((2, 3, 10), 2.0)])
def test_a_panel_of_one_or_of_other_numbers_is_refused(y: Any) -> None:
    with pytest.raises(ValueError, match=r"a panel needs|\[0, 1\]"):
        panel_verdicts(y, np.zeros(10, dtype=int), 1.96)


# -- names


def test_every_public_name_is_on_the_page_of_public_names() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/plugin-api.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `popbench.stats` |"))
    assert sorted(re.findall(r"`(\w+)`", row)) == sorted(popbench.stats.__all__)

"""Intervals, verdicts and p-values are one: whatever the data, each says what the others say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from literal_statistics import Array, Labels, literal_korn_graubard, outcomes_and_strata, quick
from popbench.stats import (
    MaxT,
    Resamples,
    korn_graubard,
    pairwise_outcomes,
    sign_test,
    simultaneous_intervals,
    verdicts,
    win_rate_p_values,
)

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


@quick
@given(outcomes_and_strata(), st.sampled_from(LEVELS))
def test_p_is_below_alpha_where_the_interval_excludes_one_half(data: tuple[Array, Labels], level: float) -> None:
    y, strata = data
    p = win_rate_p_values(y, strata)
    excluded = verdicts(*korn_graubard(y, strata, level)) != 0
    clear = np.abs(p - (1 - level)) > 1e-9
    np.testing.assert_array_equal(excluded[clear], (p < 1 - level)[clear])
    np.testing.assert_allclose(win_rate_p_values(1 - y, strata), p, rtol=1e-9)


@quick
@given(outcomes_and_strata(repeats=3))
def test_p_is_the_level_at_which_the_literal_interval_ends_at_one_half(data: tuple[Array, Labels]) -> None:
    y, strata = data
    for row, p in zip(y, win_rate_p_values(y, strata), strict=True):
        if 1e-12 < p < 1:
            low, high = literal_korn_graubard(row.tolist(), strata.tolist(), 1 - p)
            assert low == pytest.approx(0.5, abs=1e-6) or high == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_in_one_stratum_without_ties_p_is_that_of_the_sign_test(n: int) -> None:
    y = np.tri(n + 1, n, -1)
    np.testing.assert_allclose(win_rate_p_values(y, np.zeros(n, dtype=int)), sign_test(y), rtol=1e-9)


def test_with_repeats_p_tests_the_win_rate_and_not_the_share_of_prompts_won() -> None:
    # 70 prompts are won by 3 of 5, and 30 lost by 0 of 5: more are won, and the win rate is 42 %
    y = np.repeat([[0.6, 0.0]], [70, 30], axis=1).reshape(1, -1)
    strata = np.arange(100) % 5
    assert sign_test(y)[0] < 0.001
    assert win_rate_p_values(y, strata)[0] < 0.01
    assert verdicts(*korn_graubard(y, strata)).tolist() == [-1]
    even = np.repeat([[0.6, 0.2]], [75, 25], axis=1).reshape(1, -1)  # 75 of 100 are won, and the win rate is one half
    assert sign_test(even)[0] < 1e-6
    assert win_rate_p_values(even, np.arange(100) % 5)[0] == 1


@quick
@given(outcomes_and_strata(), st.sampled_from(LEVELS), st.integers(20, 200), st.integers(0, 5))
def test_adjusted_p_is_below_alpha_where_the_simultaneous_interval_excludes_one_half(
    data: tuple[Array, Labels], level: float, n_resamples: int, seed: int
) -> None:
    y, strata = data
    furthest = Resamples.draw(strata, n_resamples, seed).intervals_and_furthest(y)[2]
    family = MaxT.of(furthest, len(y))
    excluded = verdicts(*simultaneous_intervals(y, strata, family.critical_value(level))) != 0
    adjusted = family.adjusted(win_rate_p_values(y, strata))
    clear = np.abs(adjusted - (1 - level)) > 1e-9
    clear &= 1 - level > 1 / n_resamples  # that a p-value is less than one in all resamples, they cannot tell
    np.testing.assert_array_equal(excluded[clear], (adjusted < 1 - level)[clear])


def test_a_family_of_one_pair_is_judged_by_its_own_interval() -> None:
    y, strata = np.tri(31, 30, -1), np.zeros(30, dtype=int)
    resamples = Resamples.draw(strata, 1000)
    p = win_rate_p_values(y, strata)
    for row, of_row in zip(y[:, np.newaxis], p, strict=True):
        family = MaxT.of(resamples.intervals_and_furthest(row)[2], 1)
        np.testing.assert_allclose(
            simultaneous_intervals(row, strata, family.critical_value()), korn_graubard(row, strata)
        )
        assert family.adjusted([of_row]) == [of_row]


def test_families_that_are_judged_together_are_taken_as_independent_ones() -> None:
    rng = np.random.default_rng(4)
    alone = MaxT.of(rng.normal(2.5, 0.5, 20_000), 50)
    joined = alone.among(2)
    assert joined.comparisons == 100
    expected = np.quantile(rng.normal(2.5, 0.5, (20_000, 2)).max(axis=1), [0.5, 0.95])
    np.testing.assert_allclose([joined.critical_value(0.5), joined.critical_value()], expected, atol=0.03)
    p = np.array([0.04, 0.01, 0.001, 1e-5, 1e-30])
    assert (joined.adjusted(p) >= alone.adjusted(p)).all()
    assert alone.adjusted([1e-30]).tolist() == pytest.approx([50e-30])
    at = 2 * norm.sf(joined.critical_value())
    assert (joined.adjusted([at * 0.999, at * 1.001]) < 0.05).tolist() == [True, False]
    assert alone.among(1).critical_value() == alone.critical_value() < joined.critical_value()


@pytest.mark.parametrize(("furthest", "message"), [([], "axis \\(resamples\\)"), ([[1.0]], "axis \\(resamples\\)")])
def test_a_distribution_needs_resamples(furthest: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaxT.of(furthest, 1)


def test_the_critical_value_does_not_depend_on_the_order_in_which_sums_are_made() -> None:
    values = np.random.default_rng(3).normal(size=(6, 60, 1)).round(1) + 5
    y, strata = pairwise_outcomes(values), np.arange(60) // 20
    resamples = Resamples.draw(strata, 500, 1)
    order = np.random.default_rng(5).permutation(500)
    shuffled = Resamples(
        resamples.draws[:, order].astype(np.float32), resamples.pseudo_wins[order], resamples.pseudo_losses[order]
    )
    found, again = (of.intervals_and_critical_value(y) for of in (resamples, shuffled))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)

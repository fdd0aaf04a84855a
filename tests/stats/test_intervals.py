"""Intervals of popbench.stats: equal to their literal formula, symmetric, reproducible, and holding the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from literal_statistics import (
    Array,
    Labels,
    literal_bootstrap,
    literal_korn_graubard,
    literal_median_interval,
    outcomes_and_strata,
    quick,
)
from popbench.stats import (
    Resamples,
    bootstrap_win_rates,
    korn_graubard,
    mean_outcomes,
    median_interval,
    pairwise_outcomes,
    percentile_interval,
    proportion_interval,
    sign_test,
    win_rates,
)

# The exact interval


@quick
@given(outcomes_and_strata())
def test_exact_interval_equals_the_literal_formula(drawn: tuple[Array, Labels]) -> None:
    y, strata = drawn
    for row, low, high in zip(y, *korn_graubard(y, strata), strict=True):
        expected = literal_korn_graubard(row.tolist(), strata.tolist())
        np.testing.assert_allclose((low, high), expected, rtol=1e-7, atol=1e-10)


@quick
@given(outcomes_and_strata(repeats=3))
def test_exact_interval_with_repeats(drawn: tuple[Array, Labels]) -> None:
    y, strata = drawn
    for row, low, high in zip(y, *korn_graubard(y, strata, level=0.8), strict=True):
        expected = literal_korn_graubard(row.tolist(), strata.tolist(), level=0.8)
        np.testing.assert_allclose((low, high), expected, rtol=1e-7, atol=1e-10)


@quick
@given(outcomes_and_strata(repeats=2))
def test_exact_interval_has_the_symmetries_of_the_problem(drawn: tuple[Array, Labels]) -> None:
    y, strata = drawn
    low, high = korn_graubard(y, strata)
    theta = win_rates(y)
    assert np.all((low >= 0) & (low < theta + 1e-12) & (theta - 1e-12 < high) & (high <= 1) & (low < high))

    mirrored_low, mirrored_high = korn_graubard(1 - y, strata)
    np.testing.assert_allclose(mirrored_low, 1 - high, atol=1e-9)
    np.testing.assert_allclose(mirrored_high, 1 - low, atol=1e-9)

    order = np.random.default_rng(len(strata)).permutation(len(strata))
    renamed = np.array([30, -2, 8, 5])[strata]
    for shuffled in (korn_graubard(y[:, order], strata[order]), korn_graubard(y, renamed)):
        np.testing.assert_allclose(shuffled, (low, high), atol=1e-9)
    np.testing.assert_allclose(korn_graubard(y[::-1], strata), (low[::-1], high[::-1]), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 10, 100])
def test_one_stratum_without_ties_gives_clopper_pearson(n: int) -> None:
    y = np.tri(n + 1, n, -1)  # 0 to n wins
    intervals = korn_graubard(y, np.zeros(n, dtype=int))
    for k, low, high in zip(range(n + 1), *intervals, strict=True):
        expected = binomtest(k, n).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose((low, high), (expected.low, expected.high), atol=1e-9)
        np.testing.assert_allclose(proportion_interval(k, n), (expected.low, expected.high), atol=1e-9)


def test_strata_of_one_prompt_are_nearly_as_no_strata() -> None:
    y = np.array([[1, 1, 0, 1, 0.5, 1.0, 0, 1]])
    together = np.ravel(korn_graubard(y, np.zeros(8, dtype=int)))
    np.testing.assert_allclose(np.ravel(korn_graubard(y, np.arange(8))), together, atol=0.01)


def test_ties_and_strata_that_differ_narrow_the_exact_interval() -> None:
    strata = np.repeat([0, 1], 50)
    alike = np.tile([1.0, 0.0], 50)
    differ = np.repeat([1.0, 0.0], 50)
    tied = np.tile([1.0, 0.5, 0.5, 0.0], 25)
    low, high = korn_graubard(np.array([alike, differ, tied]), strata)
    width = high - low
    assert width[1] < width[2] < width[0]


@pytest.mark.parametrize("n", [1, 4, 20, 100])
def test_all_ties_give_one_half_with_a_finite_interval(n: int) -> None:
    y, strata = np.full((1, n), 0.5), np.arange(n) // 20
    assert win_rates(y)[0] == 0.5
    for low, high in (korn_graubard(y, strata), bootstrap_win_rates(y, strata, n_resamples=2000)):
        assert 0 <= low[0] < 0.5 < high[0] <= 1
    assert sign_test(y)[0] == 1
    expected = literal_korn_graubard(y[0].tolist(), strata.tolist())  # 100 prompts: n_eff at its cap
    np.testing.assert_allclose(np.ravel(korn_graubard(y, strata)), expected, rtol=1e-9)


# The bootstrap


def mixed_outcomes() -> tuple[Array, Labels]:
    strata = np.repeat([0, 1, 2], [5, 8, 12])
    y = np.random.default_rng(3).choice([0, 0.5, 1], p=[0.25, 0.15, 0.6], size=(1, 25))
    return y, strata


def test_bootstrap_agrees_with_a_plain_loop() -> None:
    y, strata = mixed_outcomes()
    slow = literal_bootstrap(y[0].tolist(), strata.tolist(), 8_000)
    resamples = Resamples.draw(strata, 40_000, seed=5)
    (rows, w), *rest = resamples.wins(y)
    fast = w[0] / 25
    assert (rows, rest) == (slice(0, 1), [])
    assert abs(fast.mean() - slow.mean()) < 0.005
    assert abs(fast.std() / slow.std() - 1) < 0.03
    low, high = resamples.intervals(y)
    step = 0.5 / 25  # the rates lie on a lattice, so two sets of resamples may be one step apart
    np.testing.assert_allclose((low[0], high[0]), np.quantile(slow, [0.025, 0.975]), atol=step * 1.01)


def test_bootstrap_has_the_moments_that_its_definition_implies() -> None:
    y, strata = mixed_outcomes()
    mean = variance = 0.0
    for c, size in enumerate([5, 8, 12]):
        rows = np.array([*y[0, strata == c], 1, 0])
        weights = np.array([1] * size + [1 / 3] * 2)
        mean += size * np.average(rows, weights=weights)
        variance += size * (np.average(rows**2, weights=weights) - np.average(rows, weights=weights) ** 2)
    (_, w), *_ = Resamples.draw(strata, 100_000, seed=1).wins(y)
    assert w.mean(dtype=np.float64) == pytest.approx(mean, abs=0.04)
    assert w.var(dtype=np.float64) == pytest.approx(variance, rel=0.02)


def test_resamples_draw_as_many_prompts_as_each_stratum_has() -> None:
    strata = np.repeat([7, 3], [30, 10])
    resamples = Resamples.draw(strata, 500, seed=2)
    assert resamples.draws.shape == (40, 500)
    assert resamples.pseudo_wins.shape == (500,)
    drawn = resamples.draws.sum(axis=0) + resamples.pseudo_wins
    assert drawn.max() <= 40  # the rest are pseudo-losses
    assert resamples.draws[:30].sum(axis=0).max() <= 30
    assert resamples.draws[30:].sum(axis=0).max() <= 10


def test_bootstrap_is_the_same_for_the_same_seed_only() -> None:
    y, strata = mixed_outcomes()
    first = Resamples.draw(strata, 300, seed=11)
    again = Resamples.draw(strata, 300, seed=11)
    other = Resamples.draw(strata, 300, seed=12)
    np.testing.assert_array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, other.draws)
    np.testing.assert_array_equal(bootstrap_win_rates(y, strata, n_resamples=300, seed=11), first.intervals(y))


def test_bootstrap_does_not_depend_on_which_pairs_share_it_or_on_blocks() -> None:
    rng = np.random.default_rng(4)
    y = rng.choice([0, 0.5, 1], size=(600, 30)).astype(np.float32)
    resamples = Resamples.draw(np.repeat([0, 1], 15), 10_000, seed=3)
    blocks = [(rows, w.shape) for rows, w in resamples.wins(y)]
    assert [rows.start for rows, _ in blocks] == [0, *(rows.stop for rows, _ in blocks[:-1])]
    assert len(blocks) > 1
    assert blocks[-1][0].stop == 600
    assert all(shape[1] == 10_000 for _, shape in blocks)
    low, high = resamples.intervals(y)
    for row in (0, 450, 599):
        alone = resamples.intervals(y[row : row + 1])
        np.testing.assert_array_equal(alone, [[low[row]], [high[row]]])
    np.testing.assert_array_equal(resamples.intervals(y.astype(np.float64)), (low, high))


@quick
@given(outcomes_and_strata(repeats=3))
def test_bootstrap_interval_is_in_bounds_and_holds_the_win_rate(drawn: tuple[Array, Labels]) -> None:
    y, strata = drawn
    low, high = bootstrap_win_rates(y, strata, n_resamples=2000, seed=9)
    theta = win_rates(y)
    assert np.all((low >= 0) & (low <= theta + 1e-9) & (theta - 1e-9 <= high) & (high <= 1) & (low < high))


def test_bootstrap_pools_small_strata() -> None:
    y = np.random.default_rng(5).choice([0.0, 1.0], size=(3, 30))
    pairs_of_two = np.arange(30) // 2
    np.testing.assert_array_equal(
        bootstrap_win_rates(y, pairs_of_two, n_resamples=200),
        bootstrap_win_rates(y, np.zeros(30, dtype=int), n_resamples=200),
    )


def test_mean_win_rates_use_the_same_resamples_and_do_not_depend_on_the_order_of_systems() -> None:
    values = np.random.default_rng(6).lognormal(size=(4, 40, 1)) * np.array([1, 2, 3, 4])[:, None, None]
    resamples = Resamples.draw(np.repeat([0, 1], 20), 2000, seed=8)
    mean = mean_outcomes(pairwise_outcomes(values), 4)
    low, high = resamples.intervals(mean)
    assert low.shape == high.shape == (4,)
    assert np.all((low < win_rates(mean)) & (win_rates(mean) < high))
    order = [2, 0, 3, 1]
    shuffled = mean_outcomes(pairwise_outcomes(values[order]), 4)
    np.testing.assert_allclose(resamples.intervals(shuffled), (low[order], high[order]), atol=1e-12)


def test_percentile_interval_interpolates() -> None:
    low, high = percentile_interval(np.arange(101.0)[np.newaxis], level=0.9)
    np.testing.assert_allclose((low[0], high[0]), (5, 95))


# Coverage: how often the interval holds the truth it was made for


@pytest.mark.slow
@pytest.mark.parametrize("theta", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("ties", [0.0, 0.3])
@pytest.mark.parametrize("spread", [0.0, 0.08])
def test_coverage_of_win_rate_intervals(theta: float, ties: float, spread: float) -> None:
    rng = np.random.default_rng(17)
    strata = np.repeat(np.arange(5), 20)
    ties *= 2 * min(theta, 1 - theta)  # what the win rate leaves room for
    win = theta - ties / 2 + spread * (strata - 2) / 2 * (1 if ties == 0 else 0)
    u = rng.random((2000, 100))
    y = (u < win) + 0.5 * ((u >= win) & (u < win + ties))

    def coverage(interval: tuple[Array, Array]) -> float:
        low, high = interval
        return float(np.mean((low <= theta) & (theta <= high)))

    assert coverage(korn_graubard(y, strata)) >= 0.935
    assert coverage(bootstrap_win_rates(y, strata, n_resamples=4000)) >= 0.92


@pytest.mark.parametrize("digits", [6, 0])
def test_coverage_of_the_median_interval(digits: int) -> None:
    rng = np.random.default_rng(18)
    strata = np.repeat(np.arange(5), 20)
    truth = round(math.exp(2), digits)
    held = 0
    for values in rng.lognormal(2, 1.5, size=(1000, 100)).round(digits):
        _, low, high = median_interval(values, strata)
        held += low <= truth <= high
    assert held >= 930


@pytest.mark.parametrize("n", [20, 100])
def test_the_median_interval_holds_the_median_where_nearly_half_of_the_samples_are_invalid(n: int) -> None:
    rng, held = np.random.default_rng(20), 0
    truth = math.exp(norm.ppf((0.5 - 0.46) / 0.54))
    for _ in range(500):
        values = np.where(rng.random(n) < 0.46, 0, rng.lognormal(size=n))
        _, low, high = median_interval(values, np.arange(n) // 20)
        held += low <= truth <= high
    assert held >= 460


# The median


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, 2.5, 9.0, 40.0, 41.0, 1e5]), st.integers(0, 2)),
        min_size=1,
        max_size=40,
    )
)
def test_median_interval_equals_brute_force(rows: list[tuple[float, int]]) -> None:
    values, strata = map(list, zip(*rows, strict=True))
    median, low, high = median_interval(values, np.array(strata))
    assert (median, low, high) == literal_median_interval(values, strata)
    assert low <= median <= high
    assert {low, high} <= set(values)


def test_median_interval_ignores_the_order_of_prompts_and_the_names_of_strata() -> None:
    rng = np.random.default_rng(8)
    values, strata = rng.lognormal(3, 2, size=60), np.repeat([0, 1, 2], 20)
    order = rng.permutation(60)
    assert median_interval(values[order], strata[order]) == median_interval(values, strata)
    assert median_interval(values, np.array([5, -1, 2])[strata]) == median_interval(values, strata)


def test_an_increasing_transform_carries_the_median_interval_along() -> None:
    values, strata = np.random.default_rng(9).lognormal(3, 2, size=61), np.arange(61) % 3
    expected = tuple(math.log1p(v) for v in median_interval(values, strata))
    assert median_interval(np.log1p(values), strata) == pytest.approx(expected)


def test_median_of_one_prompt_and_of_invalid_samples() -> None:
    assert median_interval([4.0], [0]) == (4.0, 4.0, 4.0)
    assert median_interval(np.zeros(10), np.zeros(10, dtype=int)) == (0.0, 0.0, 0.0)

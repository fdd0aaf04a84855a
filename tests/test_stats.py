"""popbench.stats against literal reimplementations, scipy.stats, its own symmetries, and simulated truth."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom, binomtest

from popbench.stats import (
    Resamples,
    bootstrap_win_rates,
    korn_graubard,
    mean_outcomes,
    median_interval,
    minimum_detectable_win_rate,
    outcome_counts,
    pairwise_outcomes,
    percentile_interval,
    pool_strata,
    proportion_interval,
    sign_test,
    win_rates,
)

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

quick = settings(deadline=None, max_examples=60, database=None, derandomize=True)


# Literal reimplementations: one pair, plain loops, scipy.stats.


def literal_korn_graubard(y: list[float], strata: list[int], level: float = 0.95) -> tuple[float, float]:
    n = len(y)
    groups = [[v for v, s in zip(y, strata, strict=True) if s == c] for c in sorted(set(strata))]
    stratified = len(groups) > 1 and min(map(len, groups)) >= 2
    if not stratified:
        groups = [y]
    k = 1 / len(groups)
    v = 0.0
    for group in groups:
        size = len(group)
        p = (sum(group) + k) / (size + 2 * k)
        s2 = (sum((x - p) ** 2 for x in group) + k * (1 - p) ** 2 + k * p**2) / (size + 2 * k)
        v += (size / n) ** 2 * s2 / (size - 1 if stratified else size)
    t = (sum(y) + 1) / (n + 2)
    n_eff = min(max(t * (1 - t) / v, n / 2), 40 * n)
    x = sum(y) / n * n_eff
    alpha = 1 - level
    low = 0.0 if sum(y) == 0 else float(beta.ppf(alpha / 2, x, n_eff - x + 1))
    high = 1.0 if sum(y) == n else float(beta.ppf(1 - alpha / 2, x + 1, n_eff - x))
    return low, high


def literal_median_interval(values: list[float], strata: list[int]) -> tuple[float, float, float]:
    """The interval as the smallest observed values at which the empirical distribution reaches p and q."""
    n, median = len(values), float(np.median(values))
    p, q = literal_korn_graubard([1.0 if v < median else 0.5 if v == median else 0.0 for v in values], strata)

    def reached(probability: float) -> float:
        return min(v for v in values if sum(u <= v for u in values) / n >= probability)

    return median, reached(p), reached(q)


def literal_bootstrap(y: list[float], strata: list[int], n_resamples: int) -> Array:
    rng = np.random.default_rng(7)
    labels = sorted(set(strata))
    k = 1 / len(labels)
    rates = np.empty(n_resamples)
    for b in range(n_resamples):
        total = 0.0
        for label in labels:
            rows = [v for v, s in zip(y, strata, strict=True) if s == label]
            weights = np.array([1.0] * len(rows) + [k, k])
            total += rng.choice([*rows, 1.0, 0.0], size=len(rows), p=weights / weights.sum()).sum()
        rates[b] = total / len(y)
    return rates


# What hypothesis draws: outcomes with strata, and popularity with ties and invalid samples.


@st.composite
def outcomes_and_strata(draw: st.DrawFn, repeats: int = 1) -> tuple[Array, Labels]:
    n = draw(st.integers(1, 40))
    steps = st.integers(0, 2 * repeats)
    y = draw(st.lists(st.lists(steps, min_size=n, max_size=n), min_size=1, max_size=3))
    strata = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return np.array(y) / (2 * repeats), np.array(strata)


@st.composite
def popularity(draw: st.DrawFn) -> Array:
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 4)))
    size = math.prod(shape)
    values = st.sampled_from([0.0, 0.5, 1.0, 3.0, 70.0, 1e6])
    return np.array(draw(st.lists(values, min_size=size, max_size=size))).reshape(shape)


# Outcomes and win rates


@quick
@given(popularity())
def test_outcomes_are_the_mean_of_win_tie_loss_over_repeats(values: Array) -> None:
    pairs = list(combinations(range(len(values)), 2))
    y = pairwise_outcomes(values)
    assert y.shape == (len(pairs), values.shape[1])
    for row, (a, b) in zip(y, pairs, strict=True):
        for i, outcome in enumerate(row):
            repeats = zip(values[a, i], values[b, i], strict=True)
            assert outcome == np.mean([1.0 if va > vb else 0.5 if va == vb else 0.0 for va, vb in repeats])


@quick
@given(popularity())
def test_swapping_all_systems_mirrors_every_outcome(values: Array) -> None:
    y, mirrored = pairwise_outcomes(values), pairwise_outcomes(values[::-1])
    pairs = list(combinations(range(len(values)), 2))
    last = len(values) - 1
    for (a, b), outcome in zip(pairs, y, strict=True):
        np.testing.assert_allclose(outcome + mirrored[pairs.index((last - b, last - a))], 1, rtol=1e-15)


@pytest.mark.parametrize("transform", [np.log1p, np.sqrt, lambda v: 3 * v + 2, lambda v: v**3])
def test_an_increasing_transform_changes_no_outcome(transform: Callable[[Array], Array]) -> None:
    values = np.random.default_rng(0).lognormal(3, 2, size=(4, 50, 2)).round(1)
    np.testing.assert_array_equal(pairwise_outcomes(transform(values)), pairwise_outcomes(values))


@pytest.mark.parametrize(
    ("repeats", "dtype"),
    [(1, np.float32), (2, np.float32), (3, np.float64), (4, np.float32), (5, np.float64)],
)
def test_outcomes_are_float32_only_where_that_is_exact(repeats: int, dtype: type) -> None:
    values = np.random.default_rng(1).integers(0, 3, size=(3, 30, repeats)).astype(float)
    y = pairwise_outcomes(values)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y * 2 * repeats, np.round(y * 2 * repeats))


def test_an_invalid_sample_loses_to_any_valid_one_and_ties_with_another() -> None:
    values = np.array([[[0.0], [0.0], [1e-9]], [[0.0], [1e-9], [0.0]]])
    np.testing.assert_array_equal(pairwise_outcomes(values), [[0.5, 0, 1]])


def test_win_rates_count_ties_half() -> None:
    y = np.array([[1, 1, 1, 0.5, 0, 0], [0.5] * 6])
    np.testing.assert_allclose(win_rates(y), [3.5 / 6, 0.5])
    wins, ties, losses = outcome_counts(y)
    assert (wins.tolist(), ties.tolist(), losses.tolist()) == ([3, 0], [1, 6], [2, 0])


def test_repeats_count_by_the_side_of_one_half() -> None:
    y = np.array([[2 / 3, 1 / 3, 1.5 / 3, 1, 0.25]])
    assert [int(count[0]) for count in outcome_counts(y)] == [2, 1, 2]


def test_mean_outcomes_average_over_opponents() -> None:
    values = np.random.default_rng(2).integers(0, 4, size=(5, 12, 3)).astype(float)
    mean = mean_outcomes(pairwise_outcomes(values), 5)
    for a in range(5):
        against = [pairwise_outcomes(values[[a, b]])[0] for b in range(5) if b != a]
        np.testing.assert_allclose(mean[a], np.mean(against, axis=0), rtol=1e-14)
    np.testing.assert_allclose(mean.sum(axis=0), 2.5)


def test_one_system_has_no_pairs_and_no_mean_win_rate() -> None:
    y = pairwise_outcomes(np.ones((1, 7, 1)))
    strata = np.zeros(7, dtype=int)
    assert y.shape == (0, 7)
    for result in (
        win_rates(y),
        sign_test(y),
        *outcome_counts(y),
        *korn_graubard(y, strata),
        *bootstrap_win_rates(y, strata, n_resamples=10),
    ):
        assert result.shape == (0,)
    with pytest.raises(ValueError, match="at least 2 systems"):
        mean_outcomes(y, 1)


# Strata


@pytest.mark.parametrize(
    ("sizes", "pooled"),
    [
        ([5, 6], [5, 6]),
        ([20, 3, 2, 20], [20, 20, 5]),  # the small ones make one stratum
        ([20, 3, 6, 20], [20, 20, 9]),  # too few even so: joined with the smallest other
        ([8, 1, 8], [8, 9]),  # of equal ones, with the first
        ([1, 1, 1], [3]),  # all of them together are too few
        ([4], [4]),
        ([1], [1]),
        ([4, 4], [8]),
    ],
)
def test_small_strata_are_pooled(sizes: list[int], pooled: list[int]) -> None:
    strata = np.repeat(np.arange(len(sizes)) * 3 - 4, sizes)
    assert np.bincount(pool_strata(strata)).tolist() == pooled


@quick
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=60))
def test_pooling_keeps_large_strata_whole_and_leaves_no_small_one(labels: list[int]) -> None:
    strata, pooled = np.array(labels), pool_strata(np.array(labels))
    sizes = np.bincount(pooled)
    assert sizes.min() >= min(5, len(labels))
    for label in set(labels):
        assert len(set(pooled[strata == label].tolist())) == 1  # no stratum is ever split
    np.testing.assert_array_equal(pool_strata(pooled), pooled)


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


def test_a_stratum_of_one_prompt_falls_back_to_no_strata() -> None:
    y = np.array([[1, 1, 0, 1, 0.5, 1.0]])
    alone = korn_graubard(y, np.array([0, 0, 0, 1, 1, 2]))
    np.testing.assert_array_equal(alone, korn_graubard(y, np.zeros(6, dtype=int)))


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


# The sign test


def test_sign_test_equals_the_binomial_test_without_the_ties() -> None:
    cases = [(w, losses, t) for w in range(0, 30, 3) for losses in range(0, 30, 4) for t in (0, 5)]
    for wins, losses, ties in cases[1:]:
        y = np.array([[1.0] * wins + [0.0] * losses + [0.5] * ties])
        expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        assert sign_test(y)[0] == pytest.approx(expected, rel=1e-10), (wins, losses, ties)


def test_sign_test_is_exact_far_out_in_the_tail() -> None:
    assert sign_test(np.ones((1, 200)))[0] == pytest.approx(2.0**-199, rel=1e-10)


@pytest.mark.parametrize(
    ("n", "comparisons", "expected"),
    [(20, 1, 0.80), (100, 1, 0.645), (200, 1, 0.602), (20, 435, 0.96), (100, 435, 0.73), (200, 435, 0.665)],
)
def test_minimum_detectable_win_rate(n: int, comparisons: int, expected: float) -> None:
    rate = minimum_detectable_win_rate(n, comparisons)
    assert rate == pytest.approx(expected, abs=0.0025)
    assert rate is not None
    p = np.array([binomtest(k, n).pvalue for k in range(n + 1)])
    found = (p <= 0.05 / comparisons) & (np.arange(n + 1) > n / 2)
    power = binom.pmf(np.arange(n + 1), n, rate)[found].sum()
    assert power == pytest.approx(0.8, abs=1e-9)


def test_too_few_prompts_detect_nothing() -> None:
    assert minimum_detectable_win_rate(5) is None  # 2 / 2**5 > 0.05
    assert minimum_detectable_win_rate(6) == pytest.approx(0.8 ** (1 / 6))
    assert minimum_detectable_win_rate(10, comparisons=435) is None


# What is refused, and how it is said

ONE = np.zeros((1, 4))
FLAT = np.zeros(4, dtype=int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pairwise_outcomes([[[1.0], [math.nan]]]), "got nan at system 0, prompt 1, repeat 0"),
        (lambda: pairwise_outcomes([[[1.0]], [[math.inf]]]), "got inf at system 1, prompt 0, repeat 0"),
        (lambda: pairwise_outcomes([[[1.0, -2.0]]]), "got -2.0 at system 0, prompt 0, repeat 1"),
        (lambda: pairwise_outcomes([[1.0, 2.0]]), r"axes \(systems, prompts, repeats\), got the shape"),
        (lambda: pairwise_outcomes(np.ones((2, 0, 1))), "empty"),
        (lambda: median_interval([1.0, math.nan], [0, 0]), "got nan at prompt 1"),
        (lambda: median_interval([], []), "empty"),
        (lambda: median_interval([1.0, 2.0], [0]), "2 prompts, 1 strata labels"),
        (lambda: win_rates(np.zeros(3)), r"axes \(pairs, prompts\)"),
        (lambda: win_rates(np.zeros((3, 0))), "no prompts"),
        (lambda: win_rates([[0.5, 1.5]]), r"must lie in \[0, 1\]"),
        (lambda: sign_test([[0.5, math.nan]]), r"must lie in \[0, 1\]"),
        (lambda: mean_outcomes(ONE, 3), "3 systems make 3 pairs, got 1"),
        (lambda: korn_graubard(ONE, np.zeros(3, dtype=int)), "4 prompts, 3 strata labels"),
        (lambda: korn_graubard(ONE, np.zeros(4)), "integer per prompt, got the type float64"),
        (lambda: korn_graubard(ONE, np.zeros((4, 1), dtype=int)), "integer per prompt, got the shape"),
        (lambda: korn_graubard(ONE, FLAT, level=1.0), "level must be between 0 and 1"),
        (lambda: pool_strata([]), "integer per prompt"),
        (lambda: bootstrap_win_rates(ONE, np.zeros(5, dtype=int)), "4 prompts, 5 strata labels"),
        (lambda: bootstrap_win_rates(ONE, FLAT, n_resamples=0), "at least 1 resample"),
        (lambda: bootstrap_win_rates(ONE, FLAT, n_resamples=9, level=95), "level must be between 0 and 1"),
        (lambda: Resamples.draw(np.zeros(5, dtype=int), 9).intervals(ONE), "of 5 prompts, the outcomes of 4"),
        (lambda: proportion_interval(0, 0), "at least 1 trial"),
        (lambda: proportion_interval(4, 3), "from 0 to 3, got 4"),
        (lambda: minimum_detectable_win_rate(0), "at least 1 prompt"),
        (lambda: minimum_detectable_win_rate(20, comparisons=0), "comparisons must be at least 1"),
        (lambda: minimum_detectable_win_rate(20, power=1.0), "need 0 < alpha < power < 1"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], ArrayLike], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_stats_stands_alone_and_imports_fast() -> None:
    code = (
        "import sys, popbench.stats\n"
        "heavy = [m for m in sys.modules if m in ('scipy.stats', 'pandas', 'torch')]\n"
        "ours = [m for m in sys.modules if m.startswith('popbench.') and m.split('.')[1] != 'stats']\n"
        "print(heavy + ours)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""popbench.stats: outcomes, strata and the sign test against plain loops and scipy.stats, and one-line refusals."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.stats import binom, binomtest

from literal_statistics import Array, popularity, quick
from popbench.stats import (
    Resamples,
    bootstrap_win_rates,
    korn_graubard,
    mean_outcomes,
    median_interval,
    minimum_detectable_win_rate,
    outcome_counts,
    pairwise_outcomes,
    pool_strata,
    proportion_interval,
    sign_test,
    win_rates,
)

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
        ([20, 3, 2, 20], [20, 5, 20]),  # the small ones make one stratum
        ([20, 3, 6, 20], [20, 9, 20]),  # too few even so: joined with the smallest other
        ([8, 1, 8], [9, 8]),  # of equal ones, with the first
        ([1, 1, 1], [3]),  # all of them together are too few
        ([4], [4]),
        ([1], [1]),
        ([4, 4], [8]),
    ],
)
def test_small_strata_are_pooled(sizes: list[int], pooled: list[int]) -> None:
    strata = np.repeat(np.arange(len(sizes)) * 3 - 4, sizes)
    assert np.bincount(pool_strata(strata)).tolist() == pooled
    renamed = 7 - 2 * strata
    np.testing.assert_array_equal(pool_strata(renamed), pool_strata(strata))


@quick
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=60))
def test_pooling_keeps_large_strata_whole_and_leaves_no_small_one(labels: list[int]) -> None:
    strata, pooled = np.array(labels), pool_strata(np.array(labels))
    sizes = np.bincount(pooled)
    assert sizes.min() >= min(5, len(labels))
    for label in set(labels):
        assert len(set(pooled[strata == label].tolist())) == 1  # no stratum is ever split
    np.testing.assert_array_equal(pool_strata(pooled), pooled)


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

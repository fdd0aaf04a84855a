"""Many pairs at once: critical values, verdicts, ranks, Holm, Bradley-Terry beside their definitions, written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import logit
from scipy.stats import norm

from literal_statistics import Array, Labels, literal_korn_graubard, quick
from popbench.stats import (
    Resamples,
    bradley_terry,
    bradley_terry_interval,
    head_to_head_ranks,
    holm,
    korn_graubard,
    mean_outcomes,
    pairwise_outcomes,
    rank_sets,
    sign_test,
    simultaneous_intervals,
    verdicts,
    win_rates,
)


def board(systems: int = 5, prompts: int = 40, spread: float = 0.4, seed: int = 0) -> tuple[Array, Labels]:
    """Popularity with ties, shape (systems, prompts, 1), and strata of ten."""
    rng = np.random.default_rng(seed)
    strengths = spread * np.arange(systems)[:, None, None]
    return np.exp(1 + strengths + rng.normal(size=(systems, prompts, 1))).round(), np.arange(prompts) // 10


# The critical value and the intervals it makes


def literal_critical_value(y: list[list[float]], resamples: Resamples, level: float) -> float:
    """Resample by resample, pair by pair."""
    n_prompts, n_resamples = resamples.draws.shape
    z = []
    for row in y:
        leads = sum(row) > n_prompts / 2
        pseudo = resamples.pseudo_wins if leads else resamples.pseudo_losses
        counts = resamples.draws.tolist()
        z.append(
            [
                (sum(v * counts[i][b] for i, v in enumerate(row)) + float(pseudo[b])) / n_prompts
                for b in range(n_resamples)
            ]
        )
    means = [sum(rates) / n_resamples for rates in z]
    sds = [math.sqrt(sum((r - m) ** 2 for r in rates) / n_resamples) for rates, m in zip(z, means, strict=True)]
    furthest = [
        max((abs(z[p][b] - means[p]) / sds[p] for p in range(len(y)) if sds[p] > 0), default=0.0)
        for b in range(n_resamples)
    ]
    return max(float(np.quantile(furthest, level)), float(norm.ppf((1 + level) / 2)))


@pytest.mark.parametrize(("systems", "level"), [(2, 0.95), (4, 0.95), (4, 0.8)])
def test_critical_value_equals_the_literal_loop(systems: int, level: float) -> None:
    values, strata = board(systems)
    y = pairwise_outcomes(values)
    assert (y.sum(axis=1) != 20).all()  # no pair is level, which the loop does not decide
    resamples = Resamples.draw(strata, 300, seed=4)
    low, high, critical_value = resamples.intervals_and_critical_value(y, level)
    assert critical_value == pytest.approx(literal_critical_value(y.tolist(), resamples, level), rel=1e-5)
    np.testing.assert_array_equal((low, high), resamples.intervals(y, level))


def test_critical_value_does_not_depend_on_blocks_of_pairs() -> None:
    rng = np.random.default_rng(3)
    y = rng.choice([0, 0.5, 1], size=(500, 30)).astype(np.float32)
    resamples = Resamples.draw(np.repeat([0, 1], 15), 10_000, seed=3)
    z = np.concatenate([w for _, w in resamples.wins(y)]).astype(np.float64)
    furthest = np.abs((z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)).max(axis=0)
    *_, critical_value = resamples.intervals_and_critical_value(y)
    assert critical_value == pytest.approx(np.quantile(furthest, 0.95), rel=1e-5)


def test_critical_value_grows_with_pairs_and_is_never_below_that_of_one_comparison() -> None:
    values, strata = board(8, spread=0)
    resamples = Resamples.draw(strata, 4000, seed=1)
    found = [resamples.intervals_and_critical_value(pairwise_outcomes(values[:systems]))[2] for systems in (1, 2, 4, 8)]
    assert found[0] == pytest.approx(norm.ppf(0.975))
    assert found[1] == pytest.approx(norm.ppf(0.975), abs=0.15)
    assert found == sorted(found)
    assert 2.7 < found[3] < norm.ppf(1 - 0.025 / 28)  # less than Bonferroni's: pairs of 8 systems move together
    alone = Resamples.draw(strata, 1, seed=1)  # nothing varies: every sd is 0
    assert alone.intervals_and_critical_value(pairwise_outcomes(values))[2] == pytest.approx(norm.ppf(0.975))


@pytest.mark.parametrize("critical_value", [0.5, 1.96, 3.4])
def test_simultaneous_intervals_equal_the_literal_formula(critical_value: float) -> None:
    values, strata = board(4)
    y = pairwise_outcomes(values)
    level = 1 - 2 * (1 - norm.cdf(critical_value))
    for row, low, high in zip(y.tolist(), *simultaneous_intervals(y, strata, critical_value), strict=True):
        np.testing.assert_allclose((low, high), literal_korn_graubard(row, strata.tolist(), level), rtol=1e-7)


def test_the_critical_value_of_one_comparison_gives_the_exact_interval() -> None:
    values, strata = board(4)
    y = pairwise_outcomes(values)
    alone = simultaneous_intervals(y, strata, float(norm.ppf(0.975)))
    np.testing.assert_allclose(alone, korn_graubard(y, strata), rtol=1e-9)


# Verdicts and ranks


def test_verdicts_follow_the_interval_and_nothing_else() -> None:
    low, high = [0.51, 0.5, 0.2, 0.0, 0.1, 0.5], [0.9, 0.8, 0.49, 0.5, 0.9, 0.5]
    assert verdicts(low, high).tolist() == [1, 0, -1, 0, 0, 0]


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[int], int]:
    systems = draw(st.integers(1, 7))
    pairs = systems * (systems - 1) // 2
    return draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=pairs, max_size=pairs)), systems


@quick
@given(judged())
def test_rank_sets_count_who_is_better_and_who_is_worse(drawn: tuple[list[int], int]) -> None:
    decided, systems = drawn
    verdict = dict(zip(combinations(range(systems), 2), decided, strict=True))
    lowest, highest = rank_sets(decided, systems)
    for system in range(systems):
        better = sum(verdict[pair] == (1 if pair[1] == system else -1) for pair in verdict if system in pair)
        worse = sum(verdict[pair] == (-1 if pair[1] == system else 1) for pair in verdict if system in pair)
        assert (lowest[system], highest[system]) == (1 + better, systems - worse)


@quick
@given(judged())
def test_a_head_to_head_rank_counts_who_wins_more_often_than_not(drawn: tuple[list[int], int]) -> None:
    decided, systems = drawn
    rates = 0.5 + np.array(decided) / 4
    full = np.full((systems, systems), 0.5)
    for (a, b), rate in zip(combinations(range(systems), 2), rates, strict=True):
        full[a, b], full[b, a] = rate, 1 - rate
    assert head_to_head_ranks(rates, systems).tolist() == [1 + int((full[:, a] > 0.5).sum()) for a in range(systems)]


def test_a_circle_shares_a_rank_and_rounding_decides_none() -> None:
    assert head_to_head_ranks([0.9, 0.1, 0.9], 3).tolist() == [2, 2, 2]
    assert head_to_head_ranks([np.mean([1 / 3] * 3 + [2 / 3] * 3)], 2).tolist() == [1, 1]


# Holm


@quick
@given(st.lists(st.sampled_from([0.0, 1e-9, 0.001, 0.01, 0.0125, 0.02, 0.5, 1.0]), max_size=9))
def test_holm_rejects_what_its_steps_reject_at_every_level(p: list[float]) -> None:
    adjusted = holm(p)
    for alpha in (1e-8, 0.01, 0.05, 0.1, 0.6):
        rejected: set[int] = set()
        for step, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[index] * (len(p) - step) > alpha:
                break
            rejected.add(index)
        if alpha < 1:
            assert {i for i, value in enumerate(adjusted) if value <= alpha} == rejected


def test_holm_of_known_values() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.7]).tolist() == [0.7]
    assert holm([]).tolist() == []
    assert holm([0.9, 0.8]).tolist() == [1, 1]


# Bradley-Terry


@pytest.mark.parametrize(("systems", "spread"), [(2, 0.4), (3, 0.0), (6, 0.4), (4, 6.0)])
def test_strengths_maximise_the_literal_likelihood(systems: int, spread: float) -> None:
    values, _ = board(systems, spread=spread, seed=systems)
    y = pairwise_outcomes(values)
    n = y.shape[1]

    def against(s: Array) -> float:
        s = s - s.mean()
        total = 0.0
        for (a, b), won in zip(combinations(range(systems), 2), y.sum(axis=1).tolist(), strict=True):
            won, lost = won + 0.5, n - won + 0.5
            total += won * math.log1p(math.exp(s[b] - s[a])) + lost * math.log1p(math.exp(s[a] - s[b]))
        return total

    best = minimize(against, np.zeros(systems), method="BFGS", options={"gtol": 1e-8}).x
    found = bradley_terry(win_rates(mean_outcomes(y, systems)), n)
    np.testing.assert_allclose(found, best - best.mean(), atol=2e-5)
    assert against(found) <= against(best) + 1e-9


def test_two_systems_differ_by_the_log_odds() -> None:
    for won in (0, 3.5, 10, 20):
        strengths = bradley_terry([won / 20, 1 - won / 20], 20)
        assert strengths[0] - strengths[1] == pytest.approx(logit((won + 0.5) / 21), abs=1e-9)


def test_strengths_add_up_to_nothing_in_the_order_of_the_mean_win_rates_one_fit_or_many() -> None:
    rng = np.random.default_rng(5)
    rates = np.array([win_rates(mean_outcomes(pairwise_outcomes(rng.lognormal(size=(7, 30, 1))), 7)) for _ in range(9)])
    rates[0] = [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0]  # everyone wins all against those below
    found = bradley_terry(rates, 30)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-9)
    for fit, rate in zip(found, rates, strict=True):
        np.testing.assert_allclose(bradley_terry(rate, 30), fit, atol=1e-7)
        np.testing.assert_allclose(fit[np.argsort(rate)], np.sort(fit), atol=1e-9)


def test_rounded_mean_win_rates_are_fitted_as_exact_ones_are() -> None:
    rates = np.linspace(0.9, 0.1, 7)
    rounded = rates.astype(np.float32).astype(float)
    rounded[2] += 3e-6  # so that they do not add up
    np.testing.assert_allclose(bradley_terry(rounded, 30), bradley_terry(rates, 30), atol=1e-4)


def test_strength_intervals_are_percentiles_of_fits_to_resampled_boards() -> None:
    """Each pair's win rate is resampled with a pseudo-win for the one of the two that wins more over all."""
    values, strata = board(4, spread=0.8)
    y = pairwise_outcomes(values)
    resamples = Resamples.draw(strata, 400, seed=6)
    mean = win_rates(mean_outcomes(y, 4))
    fits = []
    for draws, won, lost in zip(resamples.draws.T[:250], resamples.pseudo_wins, resamples.pseudo_losses, strict=False):
        rates = np.zeros((4, 4))
        for (a, b), row in zip(combinations(range(4), 2), y, strict=True):
            rates[a, b] = (row @ draws + (won if mean[a] > mean[b] else lost)) / 40
            rates[b, a] = 1 - rates[a, b]
        fits.append(bradley_terry(rates.sum(axis=1) / 3, 40))
    expected = np.quantile(fits, [0.05, 0.95], axis=0)
    found = bradley_terry_interval(mean_outcomes(y, 4), resamples, 250, level=0.9)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    strengths = bradley_terry(mean, 40)
    assert ((found[0] < strengths) & (strengths < found[1])).all()


def test_a_system_that_wins_everything_has_an_interval_around_a_finite_strength() -> None:
    values, strata = board(4, spread=0)
    values[2] += 1000
    m = mean_outcomes(pairwise_outcomes(values), 4)
    low, high = bradley_terry_interval(m, Resamples.draw(strata, 2000, seed=2))
    strength = bradley_terry(win_rates(m), 40)
    assert np.isfinite([low, high]).all()
    assert low[2] < strength[2] <= high[2]


# Coverage


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_all_intervals_and_rank_sets_of_six_systems_hold_at_once(spread: float) -> None:
    """A fast version of tests/benchmarks/stats_coverage.py; 1.96 in place of the critical value holds half as often."""
    rng = np.random.default_rng(19)
    strengths = spread * np.linspace(-1, 1, 6)
    first, second = np.triu_indices(6, 1)
    truth = norm.cdf((strengths[first] - strengths[second]) / math.sqrt(2))
    ranks = head_to_head_ranks(truth, 6)
    strata = np.arange(60) // 20
    held, ranked, pointwise = 0, 0, 0
    for repetition in range(400):
        if repetition % 50 == 0:
            resamples = Resamples.draw(strata, 2000, repetition)
        y = pairwise_outcomes(np.exp(strengths[:, None, None] + rng.normal(size=(6, 60, 1))))
        low, high = simultaneous_intervals(y, strata, resamples.intervals_and_critical_value(y)[2])
        held += bool(((low <= truth) & (truth <= high)).all())
        lowest, highest = rank_sets(verdicts(low, high), 6)
        ranked += bool(((lowest <= ranks) & (ranks <= highest)).all())
        low, high = korn_graubard(y, strata)
        pointwise += bool(((low <= truth) & (truth <= high)).all())
    assert held >= 0.93 * 400
    assert ranked >= held
    assert pointwise < 0.7 * 400


def test_identical_systems_win_half_and_are_undecided() -> None:
    values, strata = board(1)
    y = pairwise_outcomes(np.repeat(values, 4, axis=0))
    *_, critical_value = Resamples.draw(strata, 500, seed=7).intervals_and_critical_value(y)
    decided = verdicts(*simultaneous_intervals(y, strata, critical_value))
    assert win_rates(y).tolist() == [0.5] * 6
    assert decided.tolist() == [0] * 6
    assert holm(sign_test(y)).tolist() == [1] * 6
    assert np.transpose(rank_sets(decided, 4)).tolist() == [[1, 4]] * 4
    assert bradley_terry(win_rates(mean_outcomes(y, 4)), 40).tolist() == [0] * 4


# What is refused


Y, FLAT = np.full((3, 4), 0.5), np.zeros(4, dtype=int)
RESAMPLES = Resamples.draw(FLAT, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RESAMPLES.intervals_and_critical_value(Y, 1.0), "level must be between 0 and 1, got 1.0"),
        (lambda: RESAMPLES.intervals_and_critical_value(Y[:, :3]), "of 4 prompts, the outcomes of 3"),
        (lambda: RESAMPLES.intervals_and_critical_value(Y + 1), r"must lie in \[0, 1\]"),
        (lambda: simultaneous_intervals(Y, FLAT, 0.0), "must be above 0 and below 8, got 0.0"),
        (lambda: simultaneous_intervals(Y, FLAT, -1.0), "must be above 0 and below 8, got -1.0"),
        (lambda: simultaneous_intervals(Y, FLAT, 60.0), "must be above 0 and below 8, got 60.0"),
        (lambda: simultaneous_intervals(Y, FLAT, math.nan), "must be above 0 and below 8, got nan"),
        (lambda: simultaneous_intervals(Y, FLAT[:3], 2.0), "4 prompts, 3 strata labels"),
        (lambda: verdicts([0.1], [0.2, 0.3]), r"both ends of every pair, got the shapes \(1,\) and \(2,\)"),
        (lambda: verdicts(0.1, 0.2), "both ends of every pair"),
        (lambda: holm([0.5, 1.5]), r"p-values must lie in \[0, 1\]"),
        (lambda: holm([0.5, math.nan]), r"p-values must lie in \[0, 1\]"),
        (lambda: holm([[0.5]]), r"axis \(tests\), got the shape \(1, 1\)"),
        (lambda: rank_sets([0, 1], 3), "3 systems make 3 pairs, got 2"),
        (lambda: rank_sets([], 0), "0 systems"),
        (lambda: head_to_head_ranks([0.5], 3), "3 systems make 3 pairs, got 1"),
        (lambda: bradley_terry([0.5], 10), "at least 2 systems"),
        (lambda: bradley_terry([0.5, 0.5], 0), "at least 1 prompt, got 0"),
        (lambda: bradley_terry([1.5, -0.5], 10), r"must lie in \[0, 1\]"),
        (lambda: bradley_terry([math.nan, 0.5], 10), r"must lie in \[0, 1\]"),
        (lambda: bradley_terry([0.5, 0.6], 10), "have the mean 1/2"),
        (lambda: bradley_terry_interval(Y[:1], RESAMPLES), "at least 2 systems"),
        (lambda: bradley_terry_interval(Y[:, :2], RESAMPLES), "of 4 prompts, the outcomes of 2"),
        (lambda: bradley_terry_interval(Y, RESAMPLES, 0), "at least 1 resample, got 0"),
        (lambda: bradley_terry_interval(Y, RESAMPLES, level=95), "level must be between 0 and 1"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], ArrayLike], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)

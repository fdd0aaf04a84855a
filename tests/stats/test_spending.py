"""Boundaries over looks and effective numbers of comparisons, beside published values and plain simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from popbench.stats import pairwise_outcomes
from popbench.stats.effective import EffectiveComparisons, residual_directions
from popbench.stats.spending import UNREACHABLE, Spending, Table, boundaries, spent

LOOKS = [20, 40, 60, 80, 100]


def increments(spending: Spending, looks: list[int] = LOOKS, alpha: float = 0.05) -> list[float]:
    used = spent(np.array(looks) / looks[-1], alpha, spending)
    return [float(share) for share in np.diff(used, prepend=0)]


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # five equally spaced looks, two-sided .05, as published for Lan and DeMets's functions
        ("obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_boundaries_equal_published_ones(spending: Spending, published: list[float]) -> None:
    np.testing.assert_allclose(boundaries(LOOKS, increments(spending)), published, atol=0.002)


@pytest.mark.parametrize("spending", ["obrien-fleming", "linear", "pocock"])
def test_a_normal_walk_leaves_the_boundaries_as_often_as_is_spent(spending: Spending) -> None:
    looks = [10, 30, 40, 100]
    spend = increments(spending, looks, 0.2)
    c = boundaries(looks, spend)
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(400_000, 4)) * np.sqrt(np.diff(looks, prepend=0))
    beyond = np.abs(np.cumsum(steps, axis=1) / np.sqrt(looks)) > c
    first = (np.cumsum(beyond, axis=1) == 1) & beyond & (np.cumsum(np.cumsum(beyond, axis=1), axis=1) == 1)
    np.testing.assert_allclose(first.mean(axis=0), spend, atol=0.0025)


def test_one_look_is_a_fixed_test_and_nothing_to_spend_cannot_be_reached() -> None:
    assert boundaries([50], [0.05])[0] == pytest.approx(norm.ppf(0.975))
    assert boundaries([50, 100], [0.0, 0.05]).tolist() == pytest.approx([UNREACHABLE, norm.ppf(0.975)])


@pytest.mark.parametrize("spending", ["obrien-fleming", "linear", "pocock"])
def test_spending_starts_at_nothing_grows_and_ends_at_alpha(spending: Spending) -> None:
    used = spent(np.linspace(0, 1, 50), 0.05, spending, comparisons=10)
    assert used[0] == pytest.approx(0, abs=1e-12)
    assert (np.diff(used) >= 0).all()
    assert used[-1] == pytest.approx(0.05)


@pytest.mark.parametrize("comparisons", [1.0, 1.5, 3.3, 27, 435])
def test_the_table_agrees_with_boundaries_of_any_number_of_comparisons(comparisons: float) -> None:
    spend = increments("obrien-fleming")
    table = Table(LOOKS, spend, 435)
    exact = boundaries(LOOKS, [share / comparisons for share in spend])
    np.testing.assert_allclose([table.at(look, comparisons) for look in range(5)], exact, atol=0.001)


# Effective comparisons


def directions(y: object) -> EffectiveComparisons:
    outcomes = np.asarray(y, dtype=float)
    return EffectiveComparisons(residual_directions(outcomes, np.zeros(outcomes.shape[1], int)))


def test_equal_pairs_count_once_and_unrelated_ones_each() -> None:
    row = np.random.default_rng(0).integers(0, 2, 400)
    assert directions([row] * 7).beyond(2.5) == pytest.approx(1)
    assert directions([row, 1 - row]).beyond(2.5) == pytest.approx(1)
    many = directions(np.random.default_rng(1).integers(0, 2, (6, 4000)))
    assert many.beyond(2.5) == pytest.approx((1 - (1 - 2 * norm.sf(2.5)) ** 6) / (2 * norm.sf(2.5)), rel=0.02)
    assert directions([row]).beyond(2) == 1


def test_pairs_that_never_vary_count_each() -> None:
    row = np.random.default_rng(0).integers(0, 2, 400)
    assert directions([row, row, np.ones(400), np.full(400, 0.5)]).beyond(2.5) == pytest.approx(3)
    assert directions(np.ones((4, 50))).beyond(2.5) == 4


@pytest.mark.parametrize("c", [1.5, 2.2, 3.0])
def test_the_effective_number_equals_that_of_plain_simulation(c: float) -> None:
    y = pairwise_outcomes(np.random.default_rng(2).random((5, 300, 1))).astype(float)
    rows = residual_directions(y, np.arange(300) % 3)
    z = rows @ np.random.default_rng(3).normal(size=(300, 100_000)).astype(np.float32)
    plain = (np.abs(z) > c).any(axis=0).mean() / (2 * norm.sf(c))
    assert EffectiveComparisons(rows).beyond(c) == pytest.approx(plain, rel=0.04)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spent(np.array([0.5]), 0.05, "flat"), "linear or pocock, not 'flat'"),  # type: ignore[arg-type]
        (lambda: spent(np.array([1.5]), 0.05, "linear"), "from 0 to 1"),
        (lambda: boundaries([20, 20], [0.01, 0.01]), "more than at the look before"),
        (lambda: boundaries([0, 20], [0.01, 0.01]), "more than at the look before"),
        (lambda: boundaries([20, 40], [0.01]), "one probability for each look, got 1 for 2"),
        (lambda: boundaries([20, 40], [0.01, -0.01]), "must be a probability"),
        (lambda: boundaries([20, 40], [0.7, 0.7]), "must be a probability"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)

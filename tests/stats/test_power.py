"""Power by simulation: it is what studies judged by the board's own functions have, and assumptions are recovered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from popbench import stats
from popbench.stats.power import (
    Assumptions,
    assumptions_of,
    simulated_outcomes,
    typical_critical_value,
    verdict_power,
)

STRATA = np.arange(100) // 20


def board(rng: np.random.Generator, lead: float, n_systems: int, repeats: int, assumed: Assumptions) -> Any:
    """Popularity of systems, of which the first leads the second by `lead`; made without the code under test."""
    shape = (n_systems, len(STRATA))
    parts = rng.normal(size=(n_systems, int(STRATA.max()) + 1))[:, STRATA, None] * assumed.categories
    x = parts + np.sqrt(assumed.stable) * rng.normal(size=(*shape, 1))
    x = x + np.sqrt(1 - assumed.stable) * rng.normal(size=(*shape, repeats))
    x[0] += lead * np.sqrt(2)  # of two systems' noise
    popularity = np.exp(x)
    popularity[rng.random(popularity.shape) < assumed.invalid] = 0
    return popularity


@pytest.mark.parametrize(("repeats", "rate", "lead"), [(1, 0.7, 0.5244), (3, 0.65, 0.3853)])
def test_boards_decide_a_pair_as_often_as_power_says(repeats: int, rate: float, lead: float) -> None:
    assumed = Assumptions(stable=0.4)
    stated = verdict_power(rate, STRATA, typical_critical_value(5, STRATA), repeats, assumed)
    rng = np.random.default_rng(5)
    decided, n = 0, 1500
    for number in range(n):
        if number % 50 == 0:
            resamples = stats.Resamples.draw(STRATA, 1000, number)
        y = stats.pairwise_outcomes(board(rng, lead, 5, repeats, assumed))
        critical = resamples.intervals_and_critical_value(y)[2]
        decided += int(stats.verdicts(*stats.simultaneous_intervals(y, STRATA, critical))[0] == 1)
    assert 0.3 < stated < 0.95
    assert decided / n == pytest.approx(stated, abs=0.03)


@pytest.mark.parametrize(
    "assumed", [Assumptions(), Assumptions(stable=0.8, categories=0.5), Assumptions(invalid=0.1, stable=0.2)]
)
def test_assumptions_are_recovered_from_scores(assumed: Assumptions) -> None:
    rng = np.random.default_rng(1)
    found = [assumptions_of(board(rng, 0.0, 6, 3, assumed), STRATA) for _ in range(40)]
    assert all(has_repeats for _, has_repeats in found)
    for name, within in (("ties", 0.001), ("invalid", 0.01), ("stable", 0.06), ("categories", 0.12)):
        mean = np.mean([getattr(values, name) for values, _ in found])
        assert mean == pytest.approx(getattr(assumed, name), abs=within), name


def test_one_repeat_leaves_the_default_of_what_stays_over_repeats() -> None:
    values, has_repeats = assumptions_of(board(np.random.default_rng(2), 0.0, 3, 1, Assumptions(stable=0.9)), STRATA)
    assert not has_repeats
    assert values.stable == Assumptions().stable


def test_systems_that_do_the_same_are_no_reason_to_expect_ties() -> None:
    x = board(np.random.default_rng(3), 0.0, 4, 1, Assumptions())
    x[1] = x[0]
    assert assumptions_of(x, STRATA)[0].ties == 0
    assert assumptions_of(x[:2], STRATA)[0] == Assumptions(ties=0.99)


@pytest.mark.parametrize(
    "assumed", [Assumptions(), Assumptions(0.3, 0.1, 0.7, 0.6), Assumptions(ties=0.6), Assumptions(stable=1)]
)
@pytest.mark.parametrize("repeats", [1, 4])
def test_simulated_outcomes_have_the_win_rate_ties_and_variance_asked_for(assumed: Assumptions, repeats: int) -> None:
    y = simulated_outcomes(0.6, STRATA, repeats, assumed, 5000, np.random.default_rng(4))
    assert y.mean() == pytest.approx(0.6, abs=0.004)
    one = simulated_outcomes(0.5, STRATA, 1, assumed, 5000, np.random.default_rng(4))
    both_invalid, both_valid = assumed.invalid**2, (1 - assumed.invalid) ** 2
    assert (one == 0.5).mean() == pytest.approx(assumed.ties * both_valid + both_invalid, abs=0.02)
    if assumed.stable == 1 and repeats > 1:
        assert set(np.unique(y)) <= {0, 0.5, 1}


def test_power_rises_with_prompts_repeats_and_effect() -> None:
    powers = [verdict_power(0.6, np.arange(n) // 20, 2.5) for n in (40, 100, 200, 400)]
    assert powers == sorted(powers)
    powers = [verdict_power(0.6, STRATA, 2.5, repeats) for repeats in (1, 2, 4)]
    assert powers == sorted(powers)
    powers = [verdict_power(rate, STRATA, 2.5) for rate in (0.55, 0.6, 0.7)]
    assert powers == sorted(powers)
    assert verdict_power(0.6, STRATA, 2.5) == verdict_power(0.6, STRATA, 2.5)


def test_more_systems_have_a_higher_critical_value_and_few_contrasts_a_lower_one() -> None:
    of_pairs = [typical_critical_value(k, STRATA) for k in (2, 4, 8)]
    assert of_pairs == sorted(of_pairs)
    assert typical_critical_value(8, STRATA, disjoint=True) < typical_critical_value(8, STRATA)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Assumptions(ties=1),
        lambda: Assumptions(invalid=-0.1),
        lambda: Assumptions(stable=1.1),
        lambda: Assumptions(categories=-1),
        lambda: verdict_power(0.5, STRATA, 2),
        lambda: verdict_power(0.6, STRATA, 2, repeats=0),
        lambda: verdict_power(0.99, STRATA, 2, assumptions=Assumptions(invalid=0.5)),
        lambda: assumptions_of(np.ones((1, 100, 1)), STRATA),
    ],
)
def test_numbers_outside_their_range_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"\d|systems"):
        call()

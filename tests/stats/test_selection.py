"""The win rate of the best of several equal variants: its definition, a simulation, and where it is the most."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from popbench.stats import best_of_equals


@pytest.mark.parametrize(("variants", "prompts"), [(1, 1), (2, 1), (3, 2), (2, 4), (1, 9)])
def test_it_is_the_mean_of_the_highest_share_of_heads(variants: int, prompts: int) -> None:
    outcomes = product(product((0, 1), repeat=prompts), repeat=variants)
    best = [max(sum(tosses) for tosses in of_variants) / prompts for of_variants in outcomes]
    assert best_of_equals(variants, prompts) == pytest.approx(np.mean(best))


def test_the_best_of_ten_equal_variants_wins_58_percent_of_a_hundred_prompts() -> None:
    drawn = np.random.default_rng(5).binomial(100, 0.5, (50_000, 10)).max(axis=1) / 100
    assert best_of_equals(10, 100) == pytest.approx(drawn.mean(), abs=0.001)
    assert round(best_of_equals(10, 100), 2) == 0.58


def test_variants_that_share_an_opponent_gain_less() -> None:
    """Win rates over one opponent, from scores on the same prompts, go together."""
    rng = np.random.default_rng(6)
    best = []
    for _ in range(400):
        opponent, variants, of_prompts = rng.normal(size=(1, 100)), rng.normal(size=(10, 100)), rng.normal(size=100)
        best.append(((variants + of_prompts) > (opponent + of_prompts)).mean(axis=1).max())
    assert 0.5 < np.mean(best) < best_of_equals(10, 100)


def test_more_variants_gain_more_and_more_prompts_leave_less() -> None:
    assert 0.5 == best_of_equals(1, 50) < best_of_equals(5, 50) < best_of_equals(500, 50) < 1
    assert best_of_equals(10, 1000) < best_of_equals(10, 100)
    assert best_of_equals(10**6, 100_000) < 0.51


@pytest.mark.parametrize("arguments", [(0, 10), (3, 0)])
def test_none_of_anything_is_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        best_of_equals(*arguments)

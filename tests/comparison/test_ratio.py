"""The interval of a ratio of medians: its definition, its coverage, and its ends without a bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from popbench import stats
from popbench.comparison.ratio import change_interval

STRATA = np.repeat(np.arange(5), 4)
RESAMPLES = stats.Resamples.draw(STRATA, 300, seed=2)


def two(rng: np.random.Generator, shape: tuple[int, int], ratio: float, shared: float, invalid: float = 0) -> Any:
    """Draw before and after, with heavy tails; a part of the variance is `shared` by both sides of a prompt."""
    prompts, repeats = shape
    common = rng.normal(size=(1, prompts, 1)) * np.sqrt(shared)
    logs = common + rng.normal(size=(2, prompts, repeats)) * np.sqrt(1 - shared)
    x = np.exp(1.5 * logs) * np.array([1, ratio])[:, np.newaxis, np.newaxis]
    x[rng.random(x.shape) < invalid] = 0
    return x


@pytest.mark.parametrize("scale", ["positive", "real"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_it_is_that_of_literally_resampled_prompts(repeats: int, scale: Any) -> None:
    x = two(np.random.default_rng(3), (20, repeats), 2, 0.5)
    if scale == "real":
        x = np.log(x)
    changes = []
    for draws in RESAMPLES.draws.T.astype(int):
        before, after = (np.median(np.repeat(side, draws, axis=0)) for side in x)
        changes.append(after - before if scale == "real" else after / before)
    wanted = [np.quantile(changes, 0.025, method="lower"), np.quantile(changes, 0.975, method="higher")]
    assert change_interval(x, scale, RESAMPLES) == pytest.approx(wanted)


def test_the_same_scores_have_the_ratio_1_and_a_common_factor_is_the_ratio() -> None:
    x = two(np.random.default_rng(3), (20, 1), 1, 1)
    assert change_interval(x, "positive", RESAMPLES) == [1, 1]
    assert change_interval(x * [[[1]], [[3]]], "positive", RESAMPLES) == pytest.approx([3, 3])


def test_few_prompts_have_no_interval_and_a_side_that_may_be_invalid_has_no_bound() -> None:
    x = two(np.random.default_rng(3), (20, 1), 1, 0.5)
    few = stats.Resamples.draw(np.zeros(4, int), 50)
    assert change_interval(x[:, :4], "positive", few) is None
    x[0, :9] = 0
    low, high = change_interval(x, "positive", RESAMPLES) or (0, 0)
    assert high is None
    assert low is not None
    real = np.where(x > 0, x, -math.inf)
    low, high = change_interval(real, "real", RESAMPLES) or (0, 0)
    assert high is None
    x[:] = 0
    assert change_interval(x, "positive", RESAMPLES) == [0, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompts", "repeats", "shared", "invalid"),
    [(20, 1, 0.5, 0.3), (100, 1, 0, 0), (100, 3, 0.5, 0), (100, 1, 0.9, 0.2)],
)
def test_it_holds_the_ratio(prompts: int, repeats: int, shared: float, invalid: float) -> None:
    """Nominal .95; measured, with a standard error of .006: .950 to .999. It is .009 here."""
    rng = np.random.default_rng(6)
    resamples = stats.Resamples.draw(np.repeat(np.arange(5), prompts // 5), 600, seed=2)
    held = 0
    for _ in range(600):
        found = change_interval(two(rng, (prompts, repeats), 1.5, shared, invalid), "positive", resamples)
        assert found is not None
        low, high = found
        held += (low is None or low <= 1.5) and (high is None or high >= 1.5)
    assert held > 0.92 * 600

"""popbench.stats written out literally, and hypothesis strategies to compare both."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

quick = settings(deadline=None, max_examples=60, database=None, derandomize=True)


# Literal reimplementations: one pair, plain loops, scipy.stats.


def literal_korn_graubard(y: list[float], strata: list[int], level: float = 0.95) -> tuple[float, float]:
    n = len(y)
    groups = [[v for v, s in zip(y, strata, strict=True) if s == c] for c in sorted(set(strata))]
    k, m = 1 / len(groups), 3
    t = (sum(y) + 1) / (n + 2)
    overall = (sum((x - t) ** 2 for x in y) + (1 - t) ** 2 + t**2) / (n + 2)
    v = 0.0
    for group in groups:
        size = len(group)
        rows = size + 2 * k + m
        p = (sum(group) + k + m * t) / rows
        s2 = sum((x - p) ** 2 for x in group) + k * (1 - p) ** 2 + k * p**2 + m * (overall + (t - p) ** 2)
        unbiased = 1 if size == n else 1 - size * (n - size) / ((n - 1) * rows**2)
        v += (size / n) ** 2 * s2 / rows / (size * unbiased)
    n_eff = min(max(t * (1 - t) / v, n / 2), 40 * n)
    x = sum(y) / n * n_eff
    alpha = 1 - level
    low = 0.0 if sum(y) == 0 else float(beta.ppf(alpha / 2, x, n_eff - x + 1))
    high = 1.0 if sum(y) == n else float(beta.ppf(1 - alpha / 2, x + 1, n_eff - x))
    return low, high


def literal_median_interval(values: list[float], strata: list[int]) -> tuple[float, float, float]:
    """Return the range of observed values that a test does not reject as the median, on either side."""

    def end(side: int, counted: list[bool]) -> float:
        return literal_korn_graubard([float(v) for v in counted], strata)[side]

    not_too_low = [v for v in values if end(1, [u <= v for u in values]) >= 0.5]
    not_too_high = [v for v in values if end(0, [u < v for u in values]) <= 0.5]
    return float(np.median(values)), min(not_too_low), max(not_too_high)


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

"""What the benchmarks of coverage share: systems with known win rates, and how a coverage is shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

IN_CATEGORY = 20

missed: list[str] = []
"""Cells that are not what was asked."""


def generator(*of: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(of)))


def shown(held: Any, asked: float | None, where: str, most: float | None = None) -> str:
    """A coverage with its standard error, marked if it is less than what was asked, or an error if it is more."""
    rate, n = float(np.mean(held)), len(held)
    text = f"{rate:.4f} ({math.sqrt(rate * (1 - rate) / n):.4f})"
    if (asked is not None and rate < asked) or (most is not None and rate > most):
        missed.append(f"{where} {text}")
        text += " **missed**"
    return text


class Board:
    """Systems with strengths `mu` (by category, shape (systems, categories)), noise of 1, ties by a grid."""

    def __init__(self, mu: Any, n: int, grid: float = 0.0) -> None:
        self.strata = np.arange(n) * mu.shape[1] // n
        self.mu, self.grid, self.n = mu[:, self.strata], grid, n
        difference = mu[:, None] - mu[None]  # (systems, systems, categories)
        if grid:
            rates = 0.5 + 0.5 * mean_clipped(difference / grid, math.sqrt(2) / grid)
        else:
            rates = ndtr(difference / math.sqrt(2))
        self.rates = rates.mean(axis=2)
        np.fill_diagonal(self.rates, 0.5)
        first, second = np.triu_indices(len(mu), 1)
        self.pairs = self.rates[first, second]
        self.ranks = 1 + (self.rates < 0.5 - 1e-9).sum(axis=1)
        self.means = (self.rates.sum(axis=1) - 0.5) / (len(mu) - 1)

    def draw(self, rng: np.random.Generator) -> Any:
        """Log popularity, shape (systems, prompts, 1), moved up so that it is not negative: only its order counts."""
        x = self.mu + rng.normal(size=self.mu.shape)
        if self.grid:
            x = np.floor((x + rng.uniform(0, 4 * self.grid, self.n)) / self.grid)
        return (x - x.min())[:, :, None]


def mean_clipped(mean: Any, sd: float) -> Any:
    """E[clip(D, -1, 1)] of a normal D: -1 plus the integral over t from -1 to 1 of P(D > t)."""

    def integral(z: Any) -> Any:
        return z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    return sd * (integral((mean + 1) / sd) - integral((mean - 1) / sd)) - 1

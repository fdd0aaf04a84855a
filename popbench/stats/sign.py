"""The exact sign test, and the smallest win rate that it, and verdicts, can detect."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, betaincinv

from ._arrays import Float64s
from .outcomes import outcome_counts


def sign_test(y: ArrayLike) -> Float64s:
    """Exact two-sided sign test of each pair: p-values, shape (pairs,).

        p = min(1, 2 P(X <= min(W, L))),  X ~ Binomial(W + L, 1/2)

    W and L count the prompts with y above and below 1/2. Ties are excluded; p = 1 where all prompts
    tie.

    Raises:
        ValueError: if `y` is not (pairs, prompts), has no prompts, or leaves [0, 1].
    """
    wins, _, losses = outcome_counts(y)
    p: Float64s = np.minimum(1.0, 2 * bdtr(np.minimum(wins, losses).astype(np.float64), wins + losses, 0.5))
    return p


def minimum_detectable_win_rate(n: int, comparisons: int = 1, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Return the smallest win rate that is decided on n prompts without ties with this power.

        c = the fewest wins with 2 P(X >= c) <= alpha / comparisons,  X ~ Binomial(n, 1/2)
        the win rate is the theta with P(X >= c) = power,  X ~ Binomial(n, theta)

    That is, the exact two-sided sign test at Bonferroni's level, with significance in the right direction. The interval
    of `korn_graubard` excludes 1/2 where this test rejects, if there is one stratum; if there are several and they
    agree, nearly so: its power at this rate is .76 to .84. Ties, repeats and strata that differ raise the power.

    Args:
        n: prompts, at least 1.
        comparisons: pairs that are tested together, at least 1; K (K - 1) / 2 for all pairs of K
            systems.
        power: probability of finding it, above alpha and below 1.
        alpha: two-sided level for the family of comparisons, above 0; 2 Phi(-c) for pairs that are judged with the
            critical value c.

    Returns:
        A rate in (1/2, 1), or None if not even n wins in n would be significant.

    Raises:
        ValueError: if an argument is outside its range.
    """
    if n < 1:
        raise ValueError(f"a sign test needs at least 1 prompt, got {n}")
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, got {comparisons}")
    if not 0 < alpha < power < 1:
        raise ValueError(f"need 0 < alpha < power < 1, got alpha {alpha} and power {power}")
    wins = np.arange(n + 1)
    p = 2 * bdtr((n - wins).astype(np.float64), n, 0.5)  # P(X >= c) = P(X <= n - c)
    significant = np.flatnonzero(p <= alpha / comparisons)
    if not len(significant):
        return None
    fewest = int(significant[0])
    return float(betaincinv(fewest, n - fewest + 1, power))

"""What choosing the best of several systems does to its win rate."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr


def best_of_equals(variants: int, prompts: int) -> float:
    """Return the expected win rate of the best of several variants that are all equal to the system they are held to.

        E[max] = sum over k = 0 ... n - 1 of (1 - F(k)^N) / n,    F(k) = P(X <= k),  X ~ Binomial(n, 1/2)

    for N variants on n prompts. It holds where ties are rare and the variants' outcomes are independent. Variants that
    share prompts, an opponent or most of what they are have outcomes that go together, and ties make win rates vary
    less: then the best of them gains less, so that this is about the most that choosing can do by chance alone. With
    repeats too.

    Args:
        variants: how many were tried, at least 1; of one variant it is 1/2.
        prompts: prompts that each was scored on, at least 1.

    Returns:
        A rate from 1/2 to below 1: 0.577 for the best of 10 on 100 prompts.

    Raises:
        ValueError: if an argument is below 1.

    Source: the mean of a maximum from its distribution (David and Nagaraja 2003, Order Statistics, section 3.1); that
    correlation lowers it is Slepian's inequality for normal variables (1962, Bell System Technical Journal 41).
    """
    if variants < 1:
        raise ValueError(f"the best of how many? variants must be at least 1, got {variants}")
    if prompts < 1:
        raise ValueError(f"a win rate needs at least 1 prompt, got {prompts}")
    below = bdtr(np.arange(prompts, dtype=np.float64), prompts, 0.5)
    return float(np.sum(1.0 - below**variants) / prompts)

"""How often a study of so many prompts and repeats would decide a pair of systems, found by simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from . import _arrays
from ._arrays import Float64s, Floats, Ints, Scale
from .bootstrap import Resamples
from .outcomes import pairwise_outcomes
from .simultaneous import simultaneous_intervals

_NULL_BOARDS, _NULL_RESAMPLES = 4, 2000
"""Boards of equal systems of which the critical value is the mean, and resamples of each."""
_MOST_PAIRS = 2000
"""From more pairs on, the critical value is Bonferroni's, which is .1 above that of 400 pairs."""
_REPETITIONS = 2500
"""Simulated studies: the standard error of a power is .010 at most, and .008 at .8."""
_SLOPE = 1 / math.sqrt(2 * math.pi)
"""How much a win rate of one half rises with the mean of a normal difference, in its standard deviations."""


@dataclass(frozen=True)
class Assumptions:
    """What the power of a study depends on beside its size and the win rate; each number can be measured by a run.

    A pair's difference on a prompt is normal: a part of the prompt's category, a part of the prompt that stays the same
    in all repeats, and a part drawn anew in each repeat. Its sign decides the prompt.

    Attributes:
        ties: share of two valid samples with equal scores, from 0 to below 1.
        invalid: share of invalid samples, from 0 to below 1; alike in both systems.
        stable: share of the variance within a category that stays over repeats, from 0 to 1.
        categories: standard deviation between categories, at least 0, in those of one sample within a category.
    """

    ties: float = 0.0
    invalid: float = 0.0
    stable: float = 0.5
    categories: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for a number outside its range."""
        for name in ("ties", "invalid", "stable"):
            value = getattr(self, name)
            if not 0 <= value <= 1 or (value == 1 and name != "stable"):
                raise ValueError(f"{name} must be a share from 0 to 1, got {value}")
        if not 0 <= self.categories < math.inf:
            raise ValueError(f"categories must be a standard deviation of at least 0, got {self.categories}")


def assumptions_of(values: ArrayLike, strata: ArrayLike, scale: Scale = "positive") -> tuple[Assumptions, bool]:
    """Measure `Assumptions` by scores, over all pairs of systems.

    Ties are the median over the pairs, since two systems that do the same tie everywhere. The part that stays over
    repeats comes from the correlation of a pair's outcomes in two repeats, r: sin(pi r / 2), exact at a win rate of one
    half. The part of categories comes from the mean square between categories, less that within them.

    Args:
        values: popularity, shape (systems, prompts, repeats), as for `pairwise_outcomes`.
        strata: one integer label per prompt, shape (prompts,).
        scale: of the values.

    Returns:
        The assumptions, and whether `stable` was measured: one repeat leaves the default.

    Raises:
        ValueError: for fewer than two systems, or as `pairwise_outcomes`.
    """
    x = _arrays.popularity(values, ("systems", "prompts", "repeats"), scale)
    if len(x) < 2:
        raise ValueError("outcomes of pairs need at least 2 systems")
    codes = _arrays.strata_codes(strata, x.shape[1])
    invalid = x == (0 if scale == "positive" else -np.inf)
    by_repeat = [pairwise_outcomes(x[:, :, [repeat]], scale).astype(np.float64) for repeat in range(x.shape[2])]
    y = np.stack(by_repeat, axis=2)
    valid = ~(invalid[:, np.newaxis] | invalid[np.newaxis])[np.triu_indices(len(x), 1)]
    equal = ((y == 0.5) & valid).sum(axis=(1, 2)) / np.maximum(1, valid.sum(axis=(1, 2)))
    differ = equal < 1
    y[~valid] = np.nan
    stable, categories = _variances(y[differ], codes) if differ.any() else (None, 0.0)
    return Assumptions(
        ties=min(0.99, float(np.median(equal))),
        invalid=min(0.99, float(invalid.mean())),
        stable=Assumptions().stable if stable is None else stable,
        categories=categories,
    ), stable is not None


def _variances(y: Float64s, codes: Ints) -> tuple[float | None, float]:
    """Return `stable` and `categories` of outcomes (pairs, prompts, repeats), NaN where a sample is invalid.

    `stable` is None where it cannot be known: with one repeat, or where nothing varies.
    """
    member = (codes[:, np.newaxis] == np.arange(codes.max() + 1)).astype(np.float64)
    known = ~np.isnan(y)
    y = np.where(known, y, 0)
    counts = known.sum(axis=2) @ member  # (pairs, categories)
    means = y.sum(axis=2) @ member / np.maximum(1, counts)
    apart = np.where(known, y - (means @ member.T)[:, :, np.newaxis], 0)
    # A category's own mean takes up one of its prompts.
    sizes = member.sum(axis=0)
    apart *= np.sqrt(sizes / np.maximum(1, sizes - 1))[codes][np.newaxis, :, np.newaxis]
    total, n = (apart**2).sum(), known.sum()
    products = (apart.sum(axis=2) ** 2).sum() - total
    repeated = (known.sum(axis=2) ** 2).sum() - n
    if not total:
        return None, 0.0
    correlation = products / repeated / (total / n) if repeated else None
    stable = None if correlation is None else math.sin(math.pi / 2 * min(1.0, max(0.0, correlation)))
    # The spread of the categories' win rates, less what their prompts' own variance makes of it.
    of_prompt = (apart.sum(axis=2) / np.maximum(1, known.sum(axis=2))) ** 2 @ member / np.maximum(1, sizes)
    whole = (means * sizes).sum(axis=1, keepdims=True) / sizes.sum()
    spread = ((means - whole) ** 2 * sizes).sum(axis=1) / sizes.sum()
    by_chance = (of_prompt / sizes * (1 - sizes / sizes.sum()) * sizes).sum(axis=1) / sizes.sum()
    return stable, math.sqrt(max(0.0, float((spread - by_chance).mean()))) / _SLOPE


def simulated_outcomes(
    win_rate: float,
    strata: ArrayLike,
    repeats: int,
    assumptions: Assumptions,
    n: int,
    rng: np.random.Generator,
) -> Floats:
    """Draw the outcomes of n studies of one pair, shape (n, prompts); their expected win rate is `win_rate`.

    The categories' parts are the same in all studies: normal scores, in the order of the labels.

    Raises:
        ValueError: if invalid samples leave no room for the win rate, or it is not between 0 and 1.
    """
    codes = _arrays.strata_codes(strata)
    if repeats < 1:
        raise ValueError(f"a study needs at least 1 repeat, got {repeats}")
    shift = _category_parts(codes) * assumptions.categories
    tie = float(ndtri((1 + assumptions.ties) / 2)) * math.sqrt(1 + assumptions.categories**2)
    mean = shift + _centre(win_rate, shift, tie, assumptions.invalid)
    prompt, sample = math.sqrt(assumptions.stable), math.sqrt(1 - assumptions.stable)
    of_prompt = mean + prompt * rng.standard_normal((n, len(codes)), np.float32)
    y = np.zeros((n, len(codes)), np.float32)
    for _ in range(repeats):
        difference = of_prompt + sample * rng.standard_normal(y.shape, np.float32)
        outcome = ((difference > tie) * np.float32(0.5)) + ((difference >= -tie) * np.float32(0.5))
        if assumptions.invalid:
            one, other = rng.random((2, *y.shape), np.float32) < assumptions.invalid
            outcome = np.where(one | other, np.float32(0.5) + (np.float32(other) - np.float32(one)) / 2, outcome)
        y += outcome
    y /= repeats
    return y


def _category_parts(codes: Ints) -> Float64s:
    """Return normal scores of the categories, prompt by prompt, with mean 0 and variance 1 over the prompts."""
    n_strata = int(codes.max()) + 1
    if n_strata == 1:
        return np.zeros(len(codes))
    scores: Float64s = ndtri((np.arange(n_strata) + 0.5) / n_strata)[codes]
    scores -= scores.mean()
    scores /= scores.std()
    return scores


def _centre(win_rate: float, shift: Float64s, tie: float, invalid: float) -> float:
    """Return the mean difference with which a pair has a win rate, found by bisection."""
    both_valid = (1 - invalid) ** 2
    wanted = 0.5 + (win_rate - 0.5) / both_valid
    if not 0 < wanted < 1:
        raise ValueError(f"with {invalid:.0%} of samples invalid, no win rate can be {win_rate}")
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        rate = float((ndtr(middle + shift - tie) + ndtr(middle + shift + tie)).mean() / 2)
        low, high = (middle, high) if rate < wanted else (low, middle)
    return (low + high) / 2


def typical_critical_value(
    n_systems: int, strata: ArrayLike, *, disjoint: bool = False, level: float = 0.95, seed: int = 0
) -> float:
    """Return the critical value that a board of so many systems has in the mean, all of them equal.

    It depends on the number of systems, a little on the prompts, and hardly on anything else.

    Args:
        n_systems: at least 2.
        strata: one integer label per prompt, shape (prompts,).
        disjoint: whether only the first system is compared with the second, the third with the fourth, and so on.
        level: of the intervals of all pairs together.
        seed: of the simulated boards.
    """
    codes = _arrays.strata_codes(strata)
    n_pairs = n_systems // 2 if disjoint else n_systems * (n_systems - 1) // 2
    if n_pairs > _MOST_PAIRS:
        return float(-ndtri(_arrays.tail(level) / n_pairs))
    rng = np.random.default_rng(seed)
    found = []
    for number in range(_NULL_BOARDS):
        x = rng.standard_normal((n_systems, len(codes), 1))
        y = (x[::2, :, 0] > x[1::2, :, 0]).astype(np.float32) if disjoint else pairwise_outcomes(x, "real")
        found.append(Resamples.draw(codes, _NULL_RESAMPLES, seed + number).intervals_and_critical_value(y, level)[2])
    return float(np.mean(found))


def verdict_power(
    win_rate: float,
    strata: ArrayLike,
    critical_value: float,
    repeats: int = 1,
    assumptions: Assumptions | None = None,
    repetitions: int = _REPETITIONS,
    seed: int = 0,
) -> float:
    """Return how often a study decides a pair with this true win rate, and rightly.

    Studies are simulated by `simulated_outcomes` and judged by `simultaneous_intervals`, as a board judges them.

    Args:
        win_rate: of the better system, between 1/2 and 1.
        strata: one integer label per prompt, shape (prompts,).
        critical_value: of the pairs that are judged together, such as `typical_critical_value`.
        repeats: of every prompt.
        assumptions: about ties, invalid samples and variances.
        repetitions: simulated studies; the standard error is sqrt(power (1 - power) / repetitions).
        seed: of the simulation.

    Raises:
        ValueError: as `simulated_outcomes`, or if the win rate is not between 1/2 and 1.
    """
    if not 0.5 < win_rate < 1:
        raise ValueError(f"the better system's win rate lies between 0.5 and 1, got {win_rate}")
    codes = _arrays.strata_codes(strata)
    rng = np.random.default_rng(seed)
    decided = 0
    for rows in _arrays.row_blocks(repetitions, len(codes)):
        n = rows.stop - rows.start
        y = simulated_outcomes(win_rate, codes, repeats, assumptions or Assumptions(), n, rng)
        low, _ = simultaneous_intervals(y, codes, critical_value)
        decided += int(np.count_nonzero(low > 0.5))
    return decided / repetitions

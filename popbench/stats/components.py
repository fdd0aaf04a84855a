"""Variance components of scores with repeats: what is the system's, what the prompt's, and what is luck.

A sample of system k on prompt i in repeat r has the score

    s = system_k + prompt_i + (system x prompt)_ki + draft_dir + render_kir

d is what writes the draft, an LLM in a mode. Every repeat has a draft and a render seed of its own, so within one
system the two cannot be told apart: only their sum, the `draw`, is estimated. They can be where several systems
(generators) render the same drafts: what repeats of such systems have in common is the draft's. What is left is the
render seed's, together with what a draft does in one generator and not in the other. If a common seed did the same in
two generators, that would be counted as the draft's; the noise of unlike generators is unlike.

The systems are given, the prompts are a sample. With e the score less the mean of its system and repeat over prompts,
every component is a difference of mean products of two samples of one prompt, over classes of pairs of samples:

    prompt          = E e_kir e_k'ir'                              k != k', r != r'
    system x prompt = E e_kir e_kir' - prompt                      r != r'
    draw            = E e_kir^2 - E e_kir e_kir'                   r != r'
    draft           = E e_kir e_k'ir - E e_kir e_k'ir'             k != k' render the same drafts, r != r'
    render          = draw - draft

times N / (N - 1) for the means that were subtracted, which makes them unbiased. Seeds that systems share in a repeat do
no harm: but for `draft`, different systems are only compared between different repeats. `system` is the variance of the
systems' means, less what prompts and draws put into it.

Intervals are over prompts. A component is a mean of one number per prompt, of a skewed law: its t statistic is
corrected for skewness by Hall's transformation, and what is below 0 is 0. That of `system` inverts the noncentral
chi-squared law of the sum of squares of the means, with Satterthwaite's degrees of freedom. For normal effects the
coverage is .90 to .97 on 20 prompts and .93 to .97 from 50 on; with heavy tails it falls to .85 on 20 and .89 on 50
(`tests/benchmarks/components_coverage.py`).

Sources: Searle, Casella and McCulloch 1992, Variance Components, for the moments; Hall 1992, Journal of the Royal
Statistical Society B 54, for the transformation; Box 1954, Annals of Mathematical Statistics 25, for the degrees of
freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chndtr, chndtrinc, ndtri, stdtrit

from . import _arrays
from ._arrays import Float64s, Ints

_LARGE = 1e3
FEWEST_PROMPTS = 10
"""With fewer prompts there are no components."""


@dataclass(frozen=True)
class Component:
    """A variance, in the square of the scores' unit, with its interval; an estimate below 0 is 0."""

    value: float
    low: float
    high: float


def variance_components(
    values: ArrayLike, drafts: ArrayLike | None = None, level: float = 0.95
) -> dict[str, Component]:
    """Estimate the variance components of scores, with intervals over prompts.

    Args:
        values: scores, logarithms of popularity as a rule, shape (systems, prompts, repeats); NaN for a sample without.
        drafts: one integer per system: systems with the same one render the same drafts. None if none do.
        level: confidence level.

    Returns:
        `system`, `prompt`, `system_prompt`, and `draft` and `render`, or only `draw` where the two are not identified.
        A single system has no `system`, and its `prompt` holds what is `system_prompt` of several.

    Raises:
        ValueError: if there are fewer than 10 prompts or 2 repeats, a value is infinite, the shapes do not fit, or
            `level` is not between 0 and 1.
    """
    s = np.asarray(values, dtype=np.float64)
    if s.ndim != 3 or s.shape[1] < FEWEST_PROMPTS or s.shape[2] < 2:
        raise ValueError(
            f"components need the axes (systems, prompts, repeats), with {FEWEST_PROMPTS} prompts and 2 repeats, got "
            f"the shape {s.shape}"
        )
    if np.isinf(s).any():
        raise ValueError("components need finite scores, and NaN where there is none")
    n_systems = len(s)
    groups = np.arange(n_systems) if drafts is None else _arrays.strata_codes(drafts, n_systems)
    alpha = _arrays.tail(level)
    has = ~np.isnan(s)
    kept = has.reshape(n_systems, -1).any(axis=1)
    e = np.where(has, s - _means(s, has, 1), 0)
    products, pairs = _classes(e, groups), _classes(has.astype(np.float64), groups)

    means = {name: _mean(products[name], pairs[name]) for name in products}
    found: dict[str, Float64s] = {}
    same, other = means["same"], means["other"]
    if same is None or means["square"] is None:
        return {}
    draw = means["square"] - same
    if n_systems > 1 and other is not None:
        found |= {"prompt": other, "system_prompt": same - other}
    else:
        found["prompt"] = same
    together, apart = means["drafts"], means["drafts_apart"]
    if together is not None and apart is not None:
        found |= {"draft": together - apart, "render": draw - (together - apart)}
    else:
        found["draw"] = draw
    components = {name: _interval(of_prompts, alpha) for name, of_prompts in found.items()}
    if kept.sum() > 1:
        components = {"system": _system(s[kept], alpha), **components}
    return components


def _classes(x: Float64s, groups: Ints) -> dict[str, Float64s]:
    """Return for each prompt the sum of products of two samples, by class of pairs; each of shape (prompts,).

    Every pair counts twice. Given 1 for samples and 0 for missing ones, these are the numbers of pairs.
    """
    square = (x**2).sum(axis=(0, 2))
    of_systems = (x.sum(axis=2) ** 2).sum(axis=0)  # pairs of one system
    every = x.sum(axis=(0, 2)) ** 2
    of_repeats = (x.sum(axis=0) ** 2).sum(axis=1)  # pairs of one repeat
    drafts = np.zeros((int(groups.max()) + 1, *x.shape[1:]))
    np.add.at(drafts, groups, x)
    shared_repeat = (drafts**2).sum(axis=(0, 2)) - square
    shared = (drafts.sum(axis=2) ** 2).sum(axis=0) - of_systems
    return {
        "square": square,
        "same": of_systems - square,
        "other": every - of_systems - (of_repeats - square),
        "drafts": shared_repeat,
        "drafts_apart": shared - shared_repeat,
    }


def _mean(products: Float64s, pairs: Float64s) -> Float64s | None:
    """Return numbers, one per prompt, whose mean is the mean product, and whose variance over N is its variance.

    None if there is no such pair of samples.
    """
    n, total = len(pairs), pairs.sum()
    if total < 0.5:
        return None
    mean = products.sum() / total
    linear: Float64s = (mean + (products - mean * pairs) * n / total) * n / (n - 1)
    return linear


def _interval(of_prompts: Float64s, alpha: float) -> Component:
    """Return the mean of numbers, one per prompt, with the interval of Hall's transformed t statistic."""
    n, mean = len(of_prompts), float(of_prompts.mean())
    deviations = of_prompts - mean
    m2 = float((deviations**2).mean())
    if m2 <= 1e-24 * max(mean**2, 1e-300):
        return Component(max(0.0, mean), max(0.0, mean), max(0.0, mean))
    se = np.sqrt(m2 / (n - 1))
    a = float((deviations**3).mean()) / m2**1.5 / np.sqrt(n)
    t = float(stdtrit(n - 1, 1 - alpha))
    low, high = mean - se * _untransformed(t, a), mean - se * _untransformed(-t, a)
    return Component(max(0.0, mean), max(0.0, low), max(0.0, high))


def _untransformed(t: float, a: float) -> float:
    """Invert Hall's transformation t + a t^2 / 3 + a^2 t^3 / 27 + a / 6, for skewness over root n of a."""
    if abs(a) < 1e-6:
        return t
    return float(3 / a * (np.cbrt(1 + a * (t - a / 6)) - 1))


def _system(s: Float64s, alpha: float) -> Component:
    """Return the variance of the systems' means over prompts, less what prompts and draws put into it."""
    n_systems, n = s.shape[:2]
    deviations, differences = _two_way(s)
    covariance = deviations @ deviations.T / (n - 1)
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    # The square of an estimated covariance is too large by this much.
    square = max((n - 1) ** 2 / ((n - 2) * (n + 1)) * (square - trace**2 / (n - 1)), trace**2 / (n_systems - 1))
    q = float((differences**2).sum())
    value = max(0.0, (q - trace / n) / (n_systems - 1))
    if trace <= 1e-24 * max(q, 1e-300):
        return Component(value, value, value)
    # Where the systems differ in a direction in which they also vary most, a mean of all directions is too little.
    unit = max(square / trace, float(differences @ covariance @ differences) / max(q, 1e-300)) / n
    df = trace / n / unit
    ends = (float(_noncentrality(q / unit, df, p)) * unit / (n_systems - 1) for p in (1 - alpha, alpha))
    return Component(value, *ends)


def _two_way(s: Float64s) -> tuple[Float64s, Float64s]:
    """Return what is left of the cells' means after systems and prompts, (systems, prompts), and the systems' part.

    A cell without a sample has nothing left.
    """
    has = ~np.isnan(s)
    there: NDArray[np.bool_] = np.asarray(has.any(axis=2))
    cells = np.where(has, s, 0).sum(axis=2) / np.maximum(has.sum(axis=2), 1)
    row, column = np.zeros((len(s), 1)), np.zeros((1, s.shape[1]))
    for _ in range(1 if there.all() else 50):
        column = _means(cells - row, there, 0)
        row = _means(cells - column, there, 1)
        row -= row.mean()
    left = np.where(there, cells - row - column, 0)
    # Systems with fewer cells vary more.
    left *= np.sqrt(s.shape[1] / np.maximum(there.sum(axis=1, keepdims=True), 1))
    return left, row[:, 0]


def _means(x: Float64s, there: NDArray[np.bool_], axis: int) -> Float64s:
    means: Float64s = np.where(there, x, 0).sum(axis=axis, keepdims=True) / np.maximum(
        there.sum(axis=axis, keepdims=True), 1
    )
    return means


def _noncentrality(x: float, df: float, p: float) -> float:
    """Return the noncentrality with which chi-squared is at most x with probability p; 0 if there is none."""
    if x > _LARGE * df:  # where scipy's iteration fails, the root of chi-squared is all but normal
        return float((np.sqrt(x) - ndtri(p)) ** 2 - (df - 1))
    return 0.0 if chndtr(x, df, 0) <= p else float(chndtrinc(x, df, p))

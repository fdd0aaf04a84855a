"""Win rates at equal titles: how systems compare where all of them have the same title.

On each prompt, the titles of some systems are given to the videos of all, so that how well a system writes titles has
no part in who wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from popbench import stats
from popbench.audit.clips import Variant
from popbench.audit.scorer import Scored
from popbench.leaderboard.pairs import compare, draw, rounded
from popbench.records import JSON, Sample

_Prompt = tuple[str, str]


def equal_titles(
    samples: Sequence[Sample],
    plain: Sequence[Variant],
    unchanged: Scored,
    score: Callable[[Iterable[Variant]], Scored],
    *,
    titles: int,
    seed: int,
    real: bool,
) -> dict[str, JSON] | None:
    """Score all systems with the titles of `titles` of them, or of all, drawn anew for every prompt and repeat.

    Only prompts on which every system has all repeats count, with a score for each title and for its own. `plain` are
    the unchanged variants of the samples, whose scores are known. Returns the number of prompts `n`, that of `titles`,
    of `failed` scores, and for each system its mean win rate `at_equal_titles` and `as_scored` on these prompts, with
    intervals; `pairs` has the pairs at equal titles as results.json has them. Both are empty where no
    prompt has all its scores. None where no two systems share a prompt.
    """
    systems = sorted({sample.system for sample in samples})
    repeats = sorted({sample.repeat for sample in samples})
    by_prompt: dict[_Prompt, dict[tuple[str, int], int]] = {}
    for number, sample in enumerate(samples):
        by_prompt.setdefault((sample.task, sample.prompt_id), {})[sample.system, sample.repeat] = number
    complete = {prompt: of for prompt, of in sorted(by_prompt.items()) if len(of) == len(systems) * len(repeats)}
    if len(systems) < 2 or not complete:
        return None
    number_of = min(titles, len(systems))
    rng = np.random.Generator(np.random.PCG64(seed))
    variants: dict[_Prompt, list[list[Variant]]] = {}
    for prompt, of in complete.items():
        lenders = [(repeat, lender) for repeat in repeats for lender in rng.permutation(len(systems))[:number_of]]
        variants[prompt] = [
            [replace(plain[of[system, repeat]], title=plain[of[systems[lender], repeat]].title) for system in systems]
            for repeat, lender in lenders
        ]
    known = unchanged.popularity
    scored = score(variant for rows in variants.values() for row in rows for variant in row if variant not in known)
    scores = {**scored.popularity, **known}
    as_scored: Mapping[_Prompt, list[list[Variant]]] = {
        prompt: [[plain[of[system, repeat]] for system in systems] for repeat in repeats]
        for prompt, of in complete.items()
    }
    values = {prompt: _values(rows, scores) for prompt, rows in variants.items()}
    own = {prompt: _values(rows, scores) for prompt, rows in as_scored.items()}
    kept = [prompt for prompt, of in values.items() if np.isfinite(of).all() and np.isfinite(own[prompt]).all()]
    told: dict[str, JSON] = {
        "n": len(kept),
        "titles": number_of,
        "failed": len(scored.failures),
        "ended": scored.ended,
    }
    if not kept:
        return {**told, "systems": [], "pairs": []}
    category = {prompt: samples[next(iter(complete[prompt].values()))].category for prompt in kept}
    strata = np.unique([f"{task}\0{category[task, id_]}" for task, id_ in kept], return_inverse=True)[1]
    resamples = draw(strata)
    at_equal = _outcomes([values[prompt] for prompt in kept], real=real)
    before = _outcomes([own[prompt] for prompt in kept], real=real)
    rates = [_mean_win_rates(y, resamples, len(systems)) for y in (at_equal, before)]
    compared = compare(at_equal, strata, resamples, repeats=len(repeats) * number_of)
    first, second = np.triu_indices(len(systems), 1)
    found: dict[str, JSON] = rounded(
        {
            **told,
            "systems": [
                {"system": system, "at_equal_titles": equal, "as_scored": unswapped}
                for system, equal, unswapped in zip(systems, *rates, strict=True)
            ],
            "pairs": [
                {"a": systems[a], "b": systems[b], **pair}
                for a, b, pair in zip(first.tolist(), second.tolist(), compared.rows(), strict=True)
            ],
        }
    )
    return found


def _values(rows: Sequence[Sequence[Variant]], scores: Mapping[Variant, float]) -> Any:
    """Return scores of shape (systems, titles), NaN for a failed one."""
    return np.array([[scores.get(variant, np.nan) for variant in row] for row in rows], dtype=np.float64).T


def _outcomes(values: Sequence[Any], *, real: bool) -> Any:
    return stats.pairwise_outcomes(np.stack(values, axis=1), "real" if real else "positive")


def _mean_win_rates(y: Any, resamples: stats.Resamples, n_systems: int) -> list[dict[str, JSON]]:
    outcomes = stats.mean_outcomes(y, n_systems)
    low, high = resamples.intervals(outcomes)
    return [
        {"value": float(value), "low": float(start), "high": float(end)}
        for value, start, end in zip(outcomes.mean(axis=1), low, high, strict=True)
    ]

"""Cells of stats_coverage.py about categories that pull in opposite directions, repeats, and families of pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.coverage_laws import IN_CATEGORY, Board, generator, shown
from popbench import stats

OPPOSITE, WRONG = 0.945, 0.055

OPPOSITES = (
    # systems, categories, prompts in each, law, d
    (12, 5, 10, "balanced", 3.0),
    (12, 5, 20, "balanced", 3.0),
    (12, 5, 10, "signs", 2.0),
    (12, 5, 20, "signs", 2.0),
    (12, 2, 20, "signs", 2.0),
    (12, 10, 5, "signs", 2.0),
    (12, 10, 2, "signs", 1.0),
    (12, 20, 1, "signs", 1.0),
    (12, 5, 20, "normal", 0.7),
    (30, 5, 10, "balanced", 3.0),
    (30, 5, 10, "signs", 2.0),
    (30, 5, 10, "signs", 3.0),
    (30, 5, 20, "signs", 2.5),
    (30, 10, 20, "signs", 2.5),
    (30, 3, 20, "signs", 2.5),
    (30, 5, 10, "normal", 1.5),
    (30, 2, 20, "signs", 2.0),
)
LIMIT = (30, 2, 20)
"""Where intervals hold less often, which is known: of each pair, one category at the most is open."""


def opposites(systems: int, categories: int, law: str, d: float, cell: int) -> Any:
    """Strengths by category, shape (systems, categories)."""
    rng, shape = generator(8, cell), (systems, categories)
    if law == "signs":
        return rng.choice([-d, d], shape)
    if law == "normal":
        return rng.normal(0, d, shape)
    halves = np.r_[np.repeat([d, -d], categories // 2), np.zeros(categories % 2)]
    return np.array([rng.permutation(halves) for _ in range(systems)])


def opposite(repetitions: int) -> None:
    print(f"\n| systems | prompts | law | all intervals (>= {OPPOSITE}) | mean width | critical value |")
    print("| --- | --- | --- | --- | --- | --- |")
    for cell, (systems, categories, each, law, d) in enumerate(OPPOSITES):
        board = Board(opposites(systems, categories, law, d, cell), categories * each)
        intervals, widths, values, rng = [], [], [], generator(7, cell)
        for repetition in range(repetitions if systems < 30 else repetitions // 2):
            if repetition % 20 == 0:
                resamples = stats.Resamples.draw(board.strata, 2000, repetition)
            y = stats.pairwise_outcomes(board.draw(rng))
            _, _, critical_value = resamples.intervals_and_critical_value(y)
            low, high = stats.simultaneous_intervals(y, board.strata, critical_value)
            intervals.append(((low <= board.pairs) & (board.pairs <= high)).all())
            widths.append((high - low).mean())
            values.append(critical_value)
        where = f"{systems} | {categories} x {each} | {law}, {d:g}"
        asked = None if (systems, categories, each) == LIMIT else OPPOSITE
        print(
            f"| {where} | {shown(intervals, asked, where)} | {np.mean(widths):.4f} | {np.mean(values):.2f} |",
            flush=True,
        )


def repeats(repetitions: int) -> None:
    print(f"\n| prompts | repeats | p by the interval at most .05 (<= {WRONG}) | p by the sign test at most .05 |")
    print("| --- | --- | --- | --- |")
    for cell, (n, count) in enumerate((n, count) for n in (100, 200) for count in (2, 3, 5)):
        rng, strata = generator(6, cell), np.arange(n) // IN_CATEGORY
        rates = np.where(rng.random((repetitions, n)) < 5 / 6, 0.6, 0.0)
        y = rng.binomial(count, rates) / count
        where = f"{n} | {count}"
        inverted = shown(stats.win_rate_p_values(y, strata) <= 0.05, None, where, WRONG)
        print(f"| {where} | {inverted} | {shown(stats.sign_test(y) <= 0.05, None, where)} |", flush=True)


def judged(y: Any, strata: Any, resamples: stats.Resamples, families: int = 1) -> Any:
    """Verdicts of a family of pairs."""
    family = stats.MaxT.of(resamples.intervals_and_furthest(y)[2], len(y)).among(families)
    return stats.verdicts(*stats.simultaneous_intervals(y, strata, family.critical_value()))


def boards(repetitions: int) -> None:
    print(
        f"\n| systems | predictors | strengths | wrong in the primary table (<= {WRONG}) | wrong anywhere "
        "| decided, primary | decided, were the family all tables |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    n, halves = 200, (slice(0, 200), slice(0, 100), slice(100, 200))
    strata = np.arange(n) // IN_CATEGORY
    for systems, predictors, spread in ((k, p, s) for k in (5, 10) for p in (1, 2) for s in (0.0, 0.4)):
        mu, rng = np.linspace(-spread, spread, systems)[:, None], generator(5, systems, predictors, int(10 * spread))
        first, second = np.triu_indices(systems, 1)
        truth = np.sign(mu[first] - mu[second])[:, 0]
        primary, anywhere, decided, were = [], [], [], []
        for repetition in range(repetitions // 2):
            if repetition % 20 == 0:
                drawn = [stats.Resamples.draw(strata[half], 2000, repetition + i) for i, half in enumerate(halves)]
            shared = rng.normal(size=(systems, n))  # half of the variance is common to the predictors
            wrong, right = [], []
            for _ in range(predictors):
                x = mu + math.sqrt(0.5) * (shared + rng.normal(size=shared.shape))
                y = (x[first] > x[second]).astype(np.float32)
                for half, resamples in zip(halves, drawn, strict=True):
                    found = judged(y[:, half], strata[half], resamples)
                    wrong.append(((found != 0) & (found != truth)).any())
                    right.append((found == truth).mean())
                    if len(wrong) == 1:
                        were.append((judged(y, strata, resamples, 3 * predictors) == truth).mean())
            primary.append(wrong[0])
            anywhere.append(any(wrong))
            decided.append(right[0])
        where = f"{systems} | {predictors} | {f'-{spread:g} to {spread:g}' if spread else 'equal'}"
        power = [f"{np.mean(share):.3f}" if spread else "" for share in (decided, were)]
        errors = f"{shown(primary, None, where, WRONG)} | {shown(anywhere, None, where)}"
        print(f"| {where} | {errors} | {power[0]} | {power[1]} |", flush=True)
    contrasts(repetitions // 2)


def contrasts(repetitions: int) -> None:
    print(f"\n| LLMs | prompts | gain | wrong (<= {WRONG}) | decided among contrasts | decided among all pairs |")
    print("| --- | --- | --- | --- | --- | --- |")
    for llms, n, gain in ((k, n, g) for k in (5, 15) for n in (100, 200) for g in (0.0, 0.35)):
        strata, rng = np.arange(n) // IN_CATEGORY, generator(4, llms, n, int(100 * gain))
        strength_of = np.repeat(np.linspace(-0.5, 0.5, llms), 2)[:, None] + gain * np.tile([0.0, 1.0], llms)[:, None]
        first, second = np.triu_indices(2 * llms, 1)
        chosen = np.flatnonzero((second == first + 1) & (first % 2 == 0))
        wrong, alone, among = [], [], []
        for repetition in range(repetitions):
            if repetition % 20 == 0:
                resamples = stats.Resamples.draw(strata, 2000, repetition)
            x = strength_of + rng.normal(size=(2 * llms, n))
            y = (x[second] > x[first]).astype(np.float32)
            found = judged(y[chosen], strata, resamples)
            wrong.append((found != np.sign(gain)).any() if not gain else (found < 0).any())
            alone.append((found > 0).mean())
            among.append((judged(y, strata, resamples)[chosen] > 0).mean())
        where = f"{llms} | {n} | {gain:g}"
        power = [f"{np.mean(share):.3f}" if gain else "" for share in (alone, among)]
        print(f"| {where} | {shown(wrong, None, where, WRONG)} | {power[0]} | {power[1]} |", flush=True)

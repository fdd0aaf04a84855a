"""How often do the intervals, verdicts and ranks of a board contain the true values?

Data are drawn here, from laws whose true rates are known, and judged by popbench.stats.

    win         one pair: win, tie or loss on each prompt by its category's true rates. Both the exact and the bootstrap
                interval. `differ`: the categories' win rates spread evenly around the mean, by up to .3 either way
                (less where the mean leaves less room). As many ties as asked, or as the win rate leaves room for.
    median      one system, laws with heavy tails, with ties, with invalid samples, with categories that differ
    family      all pairs of a board: log popularity = prompt + system + category of the system + noise. The prompt's
                part cancels, so that the noise decides pairs: Phi((mu_a - mu_b) / sqrt 2) is the true rate, averaged
                over categories. With ties it is rounded to a grid, in which the prompt's part is uniform, so that the
                difference D counts 1/2 + E[clip(D / grid, -1, 1)] / 2. Held: all simultaneous intervals hold their true
                rates, and all rank sets hold the true head-to-head ranks.
    opposite    the same with categories that pull in opposite directions, in strata of different sizes: a strength of
                each system in each category, one of -d and d (`signs`), as many of each (`balanced`), or normal with
                the standard deviation d (`normal`)
    repeats     a pair that wins 60 % of the repeats on five prompts in six and none on the others, one half in all: how
                often p is at most .05, by the interval and by the sign test of prompts
    boards      one group of two tasks, by one or two predictors: how often a verdict is wrong in the primary table, and
                anywhere, where all systems are equal; which share of pairs the primary table decides, and would decide
                were the family all tables. Then contrasts of a mode with basic, each LLM's: wrong verdicts, and which
                share is decided in a family of their own and among all pairs
    strength    Bradley-Terry intervals, the mean over the systems and the worst of them: for the strengths fitted to
                the true mean win rates of that many prompts, and of endless ones

Resamples are drawn anew for every few repetitions, which share them: draws are independent of the data. 10,000 each for
`win`, as boards have; 2,000 for `family`, where they only make the critical value; 500 for `strength`.

    python tests/benchmarks/stats_coverage.py [--repetitions 10000] [--cells win median family opposite ...]

The first line of each table is what was asked; a cell below it is marked, and the exit status then is 1. It does not
depend on the machine. It takes about half an hour on one core; the kinds of cells may run side by side.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.coverage_laws import IN_CATEGORY, Board, generator, missed, shown
from benchmarks.families_coverage import boards, opposite, repeats
from popbench import stats

EXACT, BOOTSTRAP, MEDIAN, FAMILY = 0.945, 0.92, 0.945, 0.95
CHUNK = 1000

# One pair


def win_cells() -> Iterator[tuple[int, float, float, bool]]:
    """Prompts, mean win rate, ties asked for, whether categories differ."""
    for n in (20, 100, 200):
        for rate in (0.5, 0.6, 0.75, 0.9, 0.97, 0.995):
            for ties in (0.0, 0.3, 0.6):
                for differ in (False, True) if n > IN_CATEGORY else (False,):
                    yield n, rate, ties, differ


def tie_rates(rates: Any, ties: float) -> Any:
    """What a win rate leaves room for: 2 min(rate, 1 - rate), the asked share of it where there is too little."""
    return np.minimum(ties, 2 * np.minimum(rates, 1 - rates) * ties / 0.6)


def win(repetitions: int) -> None:
    print(f"\n| prompts | win rate | ties | categories | exact (>= {EXACT}) | bootstrap (>= {BOOTSTRAP}) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for cell, (n, rate, ties, differ) in enumerate(win_cells()):
        categories = n // IN_CATEGORY
        spread = min(0.3, 1 - rate) if differ else 0.0
        rates = rate + spread * np.linspace(-1, 1, categories) if categories > 1 else np.array([rate])
        tied = tie_rates(rates, ties)
        strata = np.arange(n) // IN_CATEGORY
        wins, not_lost = (rates - tied / 2)[strata], (rates + tied / 2)[strata]
        exact, bootstrap = [], []
        for chunk, size in enumerate(chunks(repetitions, CHUNK)):
            u = generator(1, cell, chunk).random((size, n))
            y = ((u < wins) * 0.5 + (u < not_lost) * 0.5).astype(np.float32)
            low, high = stats.korn_graubard(y, strata)
            exact.append((low <= rate) & (rate <= high))
            low, high = stats.Resamples.draw(strata, 10_000, 1000 * cell + chunk).intervals(y)
            bootstrap.append((low <= rate) & (rate <= high))
        where = f"{n} | {rate} | {tied.mean():.3f} | {'differ' if differ else 'alike'}"
        both = (shown(np.concatenate(exact), EXACT, where), shown(np.concatenate(bootstrap), BOOTSTRAP, where))
        print(f"| {where} | {both[0]} | {both[1]} |", flush=True)


def chunks(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


# Medians


def quantiles(law: str, u: Any, category: Any) -> Any:
    """Popularity at these probabilities, in these categories (numbers from -1 to 1, 0 in the middle)."""
    if law == "lognormal":
        return np.exp(3 + 2 * ndtri(u))
    if law == "Pareto, 0.8":
        return (1 - u) ** (-1 / 0.8)
    if law == "whole numbers":
        return np.floor(np.exp(1 + 1.5 * ndtri(u)))
    if law.endswith("invalid"):
        invalid = float(law.split()[0]) / 100
        return np.where(
            u < invalid, 0.0, np.exp(3 + 2 * ndtri((np.maximum(u, invalid + 1e-12) - invalid) / (1 - invalid)))
        )
    return np.exp(3 + 2 * category + 1.5 * ndtri(u))  # categories differ


LAWS = ("lognormal", "Pareto, 0.8", "whole numbers", "30 % invalid", "45 % invalid", "categories differ")


def true_median(law: str, categories: Any) -> float:
    """The median of the mixture of equally many of each category; these are symmetric where they differ."""
    if law == "categories differ":
        return math.exp(3)
    return float(quantiles(law, np.array([0.5]), categories[:1])[0])


def median(repetitions: int) -> None:
    print(f"\n| prompts | law | median (>= {MEDIAN}) |")
    print("| --- | --- | --- |")
    for cell, (n, law) in enumerate((n, law) for n in (20, 100, 200) for law in LAWS):
        strata = np.arange(n) // IN_CATEGORY
        count = n // IN_CATEGORY
        categories = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
        truth, held, rng = true_median(law, categories), [], generator(2, cell)
        for _ in range(repetitions):
            _, low, high = stats.median_interval(quantiles(law, rng.random(n), categories[strata]), strata)
            held.append(low <= truth <= high)
        where = f"{n} | {law}"
        print(f"| {where} | {shown(held, MEDIAN, where)} |", flush=True)


# Boards


def strengths(kind: str, systems: int, n: int, cell: int) -> Any:
    """`equal`; `spread` evenly over 2.4 noises; `groups` of six alike; `categories`: other systems lead in each."""
    categories = n // IN_CATEGORY
    mu = {
        "equal": np.zeros(systems),
        "spread": np.linspace(-1.2, 1.2, systems),
        "groups": np.repeat(np.linspace(-0.8, 0.8, -(-systems // 6)), 6)[:systems],
        "categories": np.linspace(-0.5, 0.5, systems),
    }[kind]
    by_category = np.repeat(mu[:, None], categories, axis=1)
    if kind == "categories":
        by_category = by_category + generator(9, cell).normal(0, 0.7, by_category.shape)
    return by_category


BOARDS = (
    # systems, prompts, strengths, grid
    (12, 20, "equal", 0.0),
    (12, 100, "equal", 0.0),
    (12, 100, "spread", 0.0),
    (12, 100, "categories", 0.0),
    (12, 200, "equal", 2.0),
    (30, 20, "equal", 0.0),
    (30, 100, "equal", 0.0),
    (30, 100, "spread", 0.0),
    (30, 100, "groups", 2.0),
    (30, 100, "categories", 0.0),
    (30, 200, "equal", 0.0),
    (30, 200, "equal", 2.0),
    (30, 200, "spread", 0.0),
)


def family(repetitions: int) -> None:
    print(
        f"\n| systems | prompts | strengths | ties | all intervals (>= {FAMILY}) | all rank sets (>= {FAMILY}) "
        "| pointwise intervals | critical value |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for cell, (systems, n, kind, grid) in enumerate(BOARDS):
        board = Board(strengths(kind, systems, n, cell), n, grid)
        intervals, ranks, pointwise, values, ties = [], [], [], [], []
        rng = generator(3, cell)
        for repetition in range(repetitions):
            if repetition % 20 == 0:
                resamples = stats.Resamples.draw(board.strata, 2000, repetition)
            y = stats.pairwise_outcomes(board.draw(rng))
            _, _, critical_value = resamples.intervals_and_critical_value(y)
            low, high = stats.simultaneous_intervals(y, board.strata, critical_value)
            lowest, highest = stats.rank_sets(stats.verdicts(low, high), systems)
            intervals.append(((low <= board.pairs) & (board.pairs <= high)).all())
            ranks.append(((lowest <= board.ranks) & (board.ranks <= highest)).all())
            values.append(critical_value)
            if repetition % 10 == 0:
                low, high = stats.korn_graubard(y, board.strata)
                pointwise.append(((low <= board.pairs) & (board.pairs <= high)).all())
                ties.append((y == 0.5).mean())
        where = f"{systems} | {n} | {kind} | {np.mean(ties):.2f}"
        print(
            f"| {where} | {shown(intervals, FAMILY, where)} | {shown(ranks, FAMILY, 'ranks ' + where)} "
            f"| {shown(pointwise, None, where)} | {np.mean(values):.2f} |",
            flush=True,
        )


def strength(repetitions: int) -> None:
    print("\n| systems | prompts | strengths | as many prompts: mean, worst | endless prompts: mean, worst |")
    print("| --- | --- | --- | --- | --- |")
    for cell, (systems, n, spread) in enumerate(
        (systems, n, spread) for systems in (4, 12) for n in (20, 100, 200) for spread in (0.0, 1.0, 2.0)
    ):
        mu = np.repeat(np.linspace(-spread, spread, systems)[:, None], n // IN_CATEGORY, axis=1)
        board, rng = Board(mu, n), generator(4, cell)
        truths = [stats.bradley_terry(board.means, count) for count in (n, 10**9)]
        held: list[list[Any]] = [[], []]
        for repetition in range(repetitions):
            if repetition % 20 == 0:
                resamples = stats.Resamples.draw(board.strata, 500, repetition)
            m = stats.mean_outcomes(stats.pairwise_outcomes(board.draw(rng)), systems)
            low, high = stats.bradley_terry_interval(m, resamples, 500)
            for found, truth in zip(held, truths, strict=True):
                found.append((low <= truth) & (truth <= high))
        cells = [f"{np.mean(found):.3f}, {np.mean(found, axis=0).min():.3f}" for found in held]
        kind = f"{-spread:g} to {spread:g}" if spread else "equal"
        print(f"| {systems} | {n} | {kind} | {cells[0]} | {cells[1]} |", flush=True)


def main() -> int:
    """Print a table for each kind of cell; return 1 where a cell is below what was asked."""
    kinds = {
        "win": win, "median": median, "family": family, "opposite": opposite, "repeats": repeats, "boards": boards,
        "strength": strength,
    }  # fmt: skip
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--cells", nargs="+", choices=kinds, default=list(kinds))
    arguments = parser.parse_args()
    for kind in arguments.cells:
        kinds[kind](arguments.repetitions)
    print("\n" + (f"not what was asked: {'; '.join(missed)}" if missed else "every cell is what was asked"))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

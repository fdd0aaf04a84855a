"""How fast are the statistics of a board, compared with plain ways to compute the same?

Side by side, in turns, the best of several rounds for each, since machines are shared. 30 systems, 200 prompts in 10
categories, 10,000 resamples: percentiles for all 435 pairs, and the critical value that makes their intervals hold
together. The plain ways:

    scores      a loop over resamples that draws scores and compares all pairs of systems again
    choice      a loop over resamples of the outcomes, `y[:, index].mean(axis=1)`, indices by `choice` in each stratum
    at once     the same, the indices of all strata drawn in three calls: the best such loop that was found
    scipy       scipy.stats.bootstrap of every pair, percentiles, vectorised: of the two systems' scores, paired, as its
                manual has it, and of their outcomes, known beforehand, in its best batch; it knows no strata

The loops are timed over some of the resamples and scaled, their percentiles over all; scipy over some of the pairs.
Then the matrix product alone against the fastest product of large matrices on the same threads; and in a process of
its own, everything that a board needs for 300 systems on 2,000 prompts.

    python tests/benchmarks/stats.py [--rounds 7] [--threads 1]

It exits with 1 where something takes longer than it should.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before numpy is imported: what its linear algebra reads
    for slowing in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if os.environ.pop(slowing, None) is not None:
            print(f"{slowing} is set, which slows numpy down; it is not used here")
    if "--threads" in sys.argv[:-1]:
        os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from popbench import stats

B = 10_000
LOOP_FASTER, SCIPY_FASTER, PEAK, SECONDS, MEGABYTES = 80, 125, 0.8, 60, 1000


def made(systems: int, prompts: int) -> tuple[Any, Any]:
    """Return values (systems, prompts, 1) and strata of 20 prompts each."""
    rng = np.random.default_rng(1)
    strengths = np.linspace(-0.5, 0.5, systems)[:, None]
    values = np.exp(3 + strengths + rng.normal(size=(1, prompts)) + rng.normal(size=(systems, prompts)))
    return values[:, :, None].round(1), np.arange(prompts) // 20


def ours(y: Any, strata: Any) -> Any:
    """Draw resamples; return percentile intervals, simultaneous intervals, and the critical value."""
    resamples = stats.Resamples.draw(strata, B, 1)
    low, high, critical_value = resamples.intervals_and_critical_value(y)
    return low, high, critical_value, stats.simultaneous_intervals(y, strata, critical_value)


class Loop:
    """The same by a loop over resamples: `step` does one of them."""

    def __init__(self, values: Any, y: Any, strata: Any) -> None:
        self.rng = np.random.default_rng(2)
        n_prompts = len(strata)
        self.values, self.n = values[:, :, 0], n_prompts
        self.groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
        self.k = k = 1 / len(self.groups)
        # Two more prompts: one that the leader of each pair wins, and one that it loses.
        leads = (y.mean(axis=1) > 0.5).astype(y.dtype)
        self.y = np.column_stack([y, leads, 1 - leads])
        self.rows = [np.r_[group, n_prompts, n_prompts + 1] for group in self.groups]
        self.p = [np.r_[np.ones(len(group)), k, k] / (len(group) + 2 * k) for group in self.groups]
        self.size = np.array([len(self.groups[stratum]) for stratum in strata])
        self.start = np.array([self.groups[stratum][0] for stratum in strata])
        self.first, self.second = np.triu_indices(len(values), 1)
        self.leads = leads

    def scores(self) -> Any:
        index = np.concatenate(
            [self.rng.choice(rows, len(rows) - 2, p=p) for rows, p in zip(self.rows, self.p, strict=True)]
        )
        drawn = self.values[:, index[index < self.n]]
        a, b = drawn[self.first], drawn[self.second]
        won, lost = np.count_nonzero(index == self.n), np.count_nonzero(index == self.n + 1)
        wins = (a > b).sum(axis=1) + (a == b).sum(axis=1) / 2 + np.where(self.leads > 0, won, lost)
        return wins / self.n

    def choice(self) -> Any:
        index = np.concatenate(
            [self.rng.choice(rows, len(rows) - 2, p=p) for rows, p in zip(self.rows, self.p, strict=True)]
        )
        return self.y[:, index].mean(axis=1)

    def at_once(self) -> Any:
        u = self.rng.random(self.n) * (self.size + 2 * self.k)
        index = np.where(u < self.size, self.start + u.astype(int), self.n + (u >= self.size + self.k))
        return self.y[:, index].mean(axis=1)

    @staticmethod
    def summary(rates: Any) -> Any:
        """Percentiles and critical value of win rates, shape (resamples, pairs)."""
        low, high = np.percentile(rates, [2.5, 97.5], axis=0)
        furthest = (np.abs(rates - rates.mean(axis=0)) / rates.std(axis=0)).max(axis=1)
        return low, high, np.quantile(furthest, 0.95)


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def agree(loop: Loop, y: Any, strata: Any) -> None:
    """Stop unless all ways compute the same, as far as 3,000 resamples can tell."""
    low, high, critical_value, _ = ours(y, strata)
    for step in (loop.scores, loop.choice, loop.at_once):
        their_low, their_high, theirs = loop.summary(np.array([step() for _ in range(3000)]))
        far = max(np.abs(their_low - low).max(), np.abs(their_high - high).max())
        if far > 0.025 or abs(theirs - critical_value) > 0.15:
            sys.exit(f"the ways differ: {far:.3f} in a rate, critical values {theirs:.2f} and {critical_value:.2f}")


def side_by_side(rounds: int) -> dict[str, float]:
    """Return seconds of each way, and the share of the peak at which the product runs."""
    from scipy.stats import bootstrap

    values, strata = made(30, 200)
    y = stats.pairwise_outcomes(values)
    loop = Loop(values, y, strata)
    agree(loop, y, strata)
    resamples = stats.Resamples.draw(strata, B, 1)
    rates = np.array([loop.at_once() for _ in range(B)])
    square = np.random.default_rng(3).random((4096, 4096), np.float32)
    steps = {"scores": (loop.scores, 50), "choice": (loop.choice, 200), "at once": (loop.at_once, 500)}
    best: dict[str, float] = {}

    def keep(name: str, seconds: float) -> None:
        best[name] = min(best.get(name, np.inf), seconds)

    def of_scipy(batch: int) -> None:
        rng = np.random.default_rng(4)
        for row in y[::100]:
            bootstrap((row,), np.mean, n_resamples=B, batch=batch, vectorized=True, method="percentile", rng=rng)

    def win_rate(a: Any, b: Any, axis: int = -1) -> Any:
        return (a > b).mean(axis=axis) + (a == b).mean(axis=axis) / 2

    def of_scipy_paired() -> None:
        rng = np.random.default_rng(4)
        for a, b in zip(loop.first[::100], loop.second[::100], strict=True):
            both = (loop.values[a], loop.values[b])
            bootstrap(both, win_rate, n_resamples=B, paired=True, vectorized=True, method="percentile", rng=rng)

    for _ in range(rounds):
        for _ in range(3):
            keep("ours", timed(lambda: ours(y, strata)))
            keep("draw", timed(lambda: stats.Resamples.draw(strata, B, 1)))
            keep("wins", timed(lambda: list(map(len, resamples.wins(y)))))
            keep("product", timed(lambda: in_blocks(y, resamples.draws)))
            for n in (1024, 2048, 4096):
                part = square[:n, :n]
                keep("peak", timed(lambda part=part: part @ part) / (2 * n**3))  # type: ignore[misc]
        for name, (step, times) in steps.items():
            keep(name, timed(lambda step=step, times=times: [step() for _ in range(times)]) / times * B)  # type: ignore[misc]
        keep("summary", timed(lambda: loop.summary(rates)))
        keep("scipy paired", timed(of_scipy_paired) / len(y[::100]) * len(y))
        for batch in (300, 1000, B):
            keep("scipy", timed(lambda batch=batch: of_scipy(batch)) / len(y[::100]) * len(y))  # type: ignore[misc]
    for name in steps:
        best[name] += best["summary"]
    best["of peak"] = best["peak"] * 2 * y.shape[0] * y.shape[1] * B / best["product"]
    return best


def in_blocks(y: Any, draws: Any) -> None:
    """The product as `Resamples.wins` computes it, nothing else."""
    from popbench.stats._arrays import row_blocks
    from popbench.stats.bootstrap import _BLOCK

    for rows in row_blocks(len(y), B, _BLOCK):
        y[rows] @ draws


def board(systems: int, prompts: int) -> dict[str, float]:
    """Everything a board needs, from the values on: seconds, and the peak memory of this process in MB.

    Processor seconds, over all threads: with one thread they are what it takes where nothing else runs.
    """
    values, strata = made(systems, prompts)
    wall, start = time.perf_counter(), time.process_time()
    y = stats.pairwise_outcomes(values)
    resamples = stats.Resamples.draw(strata, B, 1)
    family = stats.MaxT.of(resamples.intervals_and_furthest(y)[2], len(y))
    resampled = time.process_time()
    stats.outcome_counts(y)
    stats.korn_graubard(y, strata)
    decided = stats.verdicts(*stats.simultaneous_intervals(y, strata, family.critical_value()))
    stats.rank_sets(decided, systems)
    stats.head_to_head_ranks(stats.win_rates(y), systems)
    family.adjusted(stats.win_rate_p_values(y, strata))
    stats.sign_test(y)
    means = stats.mean_outcomes(y, systems)
    resamples.intervals(means)
    for row in values.mean(axis=2):
        stats.median_interval(row, strata)
    exact = time.process_time()
    stats.bradley_terry(stats.win_rates(means), prompts)
    stats.bradley_terry_interval(means, resamples)
    end = time.process_time()
    return {
        "wall": time.perf_counter() - wall,
        "seconds": end - start,
        "resampling": resampled - start,
        "bradley_terry": end - exact,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def main() -> int:
    """Print the table; return 1 where something is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--board", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.board:
        print(json.dumps(board(*arguments.board)))
        return 0
    load = os.getloadavg()[0]
    found = side_by_side(arguments.rounds)
    child = [sys.executable, __file__, "--threads", os.environ["OMP_NUM_THREADS"], "--board", "300", "2000"]
    large = json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    print(f"{os.environ['OMP_NUM_THREADS']} thread(s), load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    print("| what | measured | ratio | asked |")
    print("| --- | --- | --- | --- |")
    print(f"| all pairs, percentiles and max-t | {found['ours'] * 1e3:.0f} ms | | |")
    parts = f"{found['draw'] * 1e3:.0f} ms, {found['wins'] * 1e3:.0f} ms"
    print(f"| of that the draws; the product and pseudo-rows | {parts} | | |")
    rows = [
        ("loop over resamples of the scores", "scores", LOOP_FASTER),
        ("loop over resamples of the outcomes, `choice`", "choice", None),
        ("the same, indices drawn at once", "at once", None),
        ("scipy.stats.bootstrap per pair, of the two systems' scores", "scipy paired", SCIPY_FASTER),
        ("scipy.stats.bootstrap per pair, of their outcomes, in its best batch", "scipy", None),
    ]
    missed = []
    for what, name, asked in rows:
        ratio = found[name] / found["ours"]
        print(f"| {what} | {found[name]:.1f} s | {ratio:.0f} | {f'>= {asked}' if asked else ''} |")
        if asked and ratio < asked:
            missed.append(what)
    print(f"| product, of a peak of {1e-9 / found['peak']:.0f} GFLOP/s | | {found['of peak']:.0%} | >= {PEAK:.0%} |")
    print(
        f"| 300 systems, 2,000 prompts, everything: processor time (resampling {large['resampling']:.0f} s, "
        f"Bradley-Terry {large['bradley_terry']:.0f} s); by the clock | {large['seconds']:.0f} s; "
        f"{large['wall']:.0f} s | | <= {SECONDS} s |"
    )
    print(f"| its peak memory | {large['megabytes']:.0f} MB | | <= {MEGABYTES} MB |")
    missed += ["product"] * (found["of peak"] < PEAK)
    missed += ["300 systems"] * (large["seconds"] > SECONDS) + ["memory"] * (large["megabytes"] > MEGABYTES)
    print(f"missed: {', '.join(missed)}" if missed else "nothing is missed")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

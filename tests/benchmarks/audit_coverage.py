"""How often do the intervals of `popbench predictor audit` contain the true share?

A score is the sum of a title's part and a video's part, normal and related within a prompt, as several systems on one
prompt are, so the true shares are known. Each line draws new prompts, pairs, swaps and resamples as an audit does, and
shows how many 95 % intervals of the shares and of the remainder contain the true value, their mean width, and the mean
error of the estimates.

    python tests/benchmarks/audit_coverage.py [--repetitions 1000]

It does not depend on the machine.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from popbench.stats import GroupResamples, pair_across, swap_shares

RESAMPLES = 1000
LAWS = (
    # prompts, samples each, variance of the title's part, of the video's, their covariance, share of it between prompts
    (10, 4, 2.0, 1.0, 0.0, 0.5),
    (20, 4, 2.0, 1.0, 0.0, 0.5),
    (40, 4, 2.0, 1.0, 0.0, 0.5),
    (40, 4, 2.0, 1.0, 0.6, 0.5),
    (40, 4, 2.0, 1.0, -0.6, 0.5),
    (40, 1, 1.0, 1.0, 0.0, 0.0),
    (40, 8, 1.0, 1.0, 0.0, 0.9),
    (100, 4, 1.0, 0.1, 0.0, 0.8),
    (200, 4, 1.0, 1.0, 0.5, 0.5),
)


def measure(
    law: tuple[int, int, float, float, float, float], repetitions: int, shuffles: int
) -> dict[str, tuple[float, float, float]]:
    """Return coverage, mean width and mean error of each share."""
    prompts, size, var_a, var_b, cov, between = law
    groups = np.repeat(np.arange(prompts), size)
    root = np.linalg.cholesky(np.array([[var_a, cov], [cov, var_b]]))
    whole = var_a + var_b + 2 * cov
    truth = {"a": var_a / whole, "b": var_b / whole, "remainder": 2 * cov / whole}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in truth}
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(prompts, 2))[groups]
        own = rng.normal(size=(len(groups), 2))
        a, b = ((math.sqrt(between) * common + math.sqrt(1 - between) * own) @ root.T).T
        i, j, _ = pair_across(groups, shuffles, seed)
        resamples = GroupResamples.draw(prompts, RESAMPLES, seed + 1)
        mean = partial(resamples.pair_means, first=groups[i], second=groups[j])
        shares = swap_shares(a[i] + b[i], a[j] + b[j], a[j] + b[i], a[i] + b[j], mean)
        for name, value in truth.items():
            interval = resamples.interval(shares[name])
            assert interval is not None
            estimate, low, high = interval
            found[name].append((float(low <= value <= high), high - low, estimate - value))
    means = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    return {name: (float(row[0]), float(row[1]), float(row[2])) for name, row in means.items()}


def main() -> None:
    """Print one line for each law."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--shuffles", type=int, default=4)
    arguments = parser.parse_args()
    print("| prompts x samples | Var title, video, Cov; between | titles | videos | remainder |")
    print("| --- | --- | --- | --- | --- |")
    for law in LAWS:
        shown = measure(law, arguments.repetitions, arguments.shuffles)
        cells = [f"{covered:.3f}, {width:.2f}, {error:+.3f}" for covered, width, error in shown.values()]
        prompts, size, var_a, var_b, cov, between = law
        print(f"| {prompts} x {size} | {var_a:g}, {var_b:g}, {cov:g}; {between:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

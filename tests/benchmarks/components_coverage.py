"""How often do the intervals of variance components contain the true variances?

Scores are made of a system's, a prompt's, their joint, a draft's and a render seed's part, with known variances. Each
line draws new prompts and shows, for each component, how many 95 % intervals contain its variance, and the relative
error of the mean estimate. Laws: all parts normal; Student's t with 5 degrees of freedom; exponential.

    python tests/benchmarks/components_coverage.py [--repetitions 2000]

It does not depend on the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from popbench.stats import variance_components

NAMES = ("system", "prompt", "system_prompt", "draft", "render")
SDS = {
    "all": (0.3, 0.8, 0.4, 0.6, 0.8),
    "seeds only": (0.0, 0.3, 0.0, 0.0, 1.0),
    "prompts most": (0.1, 1.0, 0.2, 0.3, 0.3),
}
DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t(5)": lambda rng, shape: rng.standard_t(5, shape) / np.sqrt(5 / 3),
    "exponential": lambda rng, shape: rng.exponential(1, shape) - 1,
}
SHAPES = ((1, 2, 2), (3, 2, 3), (6, 2, 5))
"""LLMs, generators, repeats."""


def measure(
    law: str, shape: tuple[int, int, int], prompts: int, sds: tuple[float, ...], repetitions: int
) -> list[tuple[float, float]]:
    """Return the coverage of each component, and the mean of its estimates less its variance."""
    llms, generators, repeats = shape
    rng = np.random.default_rng(1)
    systems = np.linspace(-1, 1, llms * generators)
    systems *= sds[0] / systems.std(ddof=1)
    drafts = np.repeat(np.arange(llms), generators)
    found: list[list[tuple[float, float]]] = []
    for _ in range(repetitions):
        scores = systems.reshape(llms, generators, 1, 1)
        of_parts = (
            (1, 1, prompts, 1), (llms, generators, prompts, 1), (llms, 1, prompts, repeats),
            (llms, generators, prompts, repeats),
        )  # fmt: skip
        for sd, of_part in zip(sds[1:], of_parts, strict=True):
            scores = scores + sd * DRAWS[law](rng, of_part)
        components = variance_components(scores.reshape(-1, prompts, repeats), drafts)
        found.append(
            [
                (float(of.low <= sd**2 + 1e-12 and sd**2 <= of.high + 1e-12), of.value - sd**2)
                for sd, of in zip(sds, (components[name] for name in NAMES), strict=True)
            ]
        )
    return [(float(covered), float(error)) for covered, error in np.mean(found, axis=0)]


def main() -> None:
    """Print one line for each law, number of prompts and set of variances: the least coverage over the shapes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=2000)
    arguments = parser.parse_args()
    print(f"| law | variances | prompts | {' | '.join(NAMES)} |")
    print("| --- | --- | --- |" + " --- |" * len(NAMES))
    for law in DRAWS:
        for name, sds in SDS.items():
            for prompts in (20, 50, 100, 200):
                shown = [measure(law, shape, prompts, sds, arguments.repetitions) for shape in SHAPES]
                cells = []
                for component in range(len(NAMES)):
                    least = min(of[component][0] for of in shown)
                    error = max((of[component][1] for of in shown), key=abs)
                    cells.append(f"{least:.3f}, {error:+.3f}")
                print(f"| {law} | {name} | {prompts} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""How often do all verdicts and intervals over people on a whole board hold, and how wide are they?

A board of some systems with a predictor that has tastes of its own: people vote on some prompts of some pairs, as a
ballot shows them (each voter sees the same pairs of clips, sides the other way round for every second voter), or all
clips of some prompts are posted and counted. Every board goes through `popbench.leaderboard.people`, as a run's does.
The true win rates are known: those of all prompts and voters, sides balanced.

    python tests/benchmarks/people_boards.py [--repetitions 1000]

It does not depend on the machine; 10 minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[2]))

from popbench.leaderboard.people import people_of
from popbench.leaderboard.people_data import Pairs, Said, Source
from popbench.scores.rows import Rows
from popbench.scores.scores import Scores


@dataclass(frozen=True)
class Study:
    """What is simulated; standard deviations in units of that of a clip's appeal within a prompt.

    Attributes:
        correlation: of predicted and real appeal of a clip, rank correlation.
        systems: compared, whose mean appeal rises by `step` from one to the next.
        labelled: prompts with labels, of `prompts` in 5 categories.
        voters: people, each of whom votes on all pairs of the ballot; 0 for real outcomes, which have none.
        bias: of the predictor's tastes for systems.
        taste: of a voter's tastes for systems.
        habits: how much voters differ in the position that they like, beside .3 for the left that all have.
        noise: of a vote, or of the count of a posted clip.
    """

    correlation: float
    systems: int = 4
    labelled: int = 40
    prompts: int = 200
    voters: int = 12
    bias: float = 0.5
    taste: float = 0.2
    habits: float = 0.3
    noise: float = 0.7
    step: float = 0.25

    def truth(self, a: int, b: int) -> float:
        """Return the true win rate of a over b."""
        lead = self.step * (a - b)
        if not self.voters:
            return float(norm.cdf(lead / np.sqrt(2 * (1 + self.noise**2))))
        sd = np.sqrt(2 + 2 * self.taste**2 + self.habits**2 + self.noise**2)
        return float(norm.cdf((lead + np.array([0.3, -0.3])) / sd).mean())


def board(study: Study, rng: np.random.Generator) -> list[dict[str, float]]:
    """Draw a board and return for each pair whether its intervals hold, and its widths."""
    n, systems = study.prompts, study.systems
    pearson = 2 * np.sin(np.pi * study.correlation / 6)
    appeal = rng.standard_normal((systems, n))
    seen = pearson * appeal + np.sqrt(1 - pearson**2) * rng.standard_normal((systems, n))
    lead = study.step * np.arange(systems)[:, np.newaxis]
    scores = np.exp(seen + lead + study.bias * rng.standard_normal((systems, 1)))
    names = [f"s{number}|basic|g" for number in range(systems)]
    rows = Rows()
    for system, name in enumerate(names):
        for prompt in range(n):
            rows.add(name, ("t", f"{prompt:04d}"), 0, str(prompt % 5), "ok", scores[system, prompt], None, None)
    of_board = Scores("p", None, "views", False, rows, {"t": {"group": None}})
    source = _votes(study, appeal + lead, names, rng) if study.voters else _outcomes(study, appeal + lead, names, rng)
    found = []
    for row in people_of([source], [(of_board, "t", "primary")])["pairs"]:
        a, b = names.index(row["a"]), names.index(row["b"])
        truth, corrected, labels = study.truth(a, b), row["corrected"], row["labels"]
        together = corrected["simultaneous"]
        found.append(
            {
                "predicted": row["predicted"]["low"] <= truth <= row["predicted"]["high"],
                "labels": labels["low"] <= truth <= labels["high"],
                "corrected": corrected["low"] <= truth <= corrected["high"],
                "together": together[0] <= truth <= together[1],
                "wrong": row["verdict"] == ("worse" if truth > 0.5 else "better"),
                "width": labels["high"] - labels["low"],
                "ratio": (corrected["high"] - corrected["low"]) / (labels["high"] - labels["low"]),
            }
        )
    return found


def _votes(study: Study, appeal: NDArray[np.float64], names: list[str], rng: np.random.Generator) -> Source:
    tastes = study.taste * rng.standard_normal((study.voters, study.systems))
    habits = 0.3 + study.habits * rng.standard_normal(study.voters)
    pairs: Pairs = {}
    for a, b in combinations(range(study.systems), 2):
        prompts = rng.permutation(study.prompts)[: study.labelled]
        side = 1 - 2 * ((np.arange(study.labelled)[:, np.newaxis] + np.arange(study.voters)) % 2)
        liked = (appeal[a] - appeal[b])[prompts, np.newaxis] + tastes[:, a] - tastes[:, b] + habits * side
        liked = liked + study.noise * rng.standard_normal(liked.shape)
        shown = [("t", f"{prompt:04d}") for prompt in prompts]
        pairs[names[a], names[b]] = [
            Said(prompt, float(won), int(of), str(voter))
            for prompt, row, sides in zip(shown, liked > 0, side, strict=True)
            for voter, (won, of) in enumerate(zip(row, sides, strict=True))
        ]
    return Source("votes", {}, pairs)


def _outcomes(study: Study, appeal: NDArray[np.float64], names: list[str], rng: np.random.Generator) -> Source:
    posted = rng.permutation(study.prompts)[: study.labelled]
    counts = appeal[:, posted] + study.noise * rng.standard_normal((study.systems, len(posted)))
    pairs: Pairs = {
        (names[a], names[b]): [
            Said(("t", f"{prompt:04d}"), float(counts[a, place] > counts[b, place]), 0, "")
            for place, prompt in enumerate(posted)
        ]
        for a, b in combinations(range(study.systems), 2)
    }
    return Source("outcomes", {}, pairs)


def show(name: str, study: Study, repetitions: int) -> None:
    """Print a row."""
    rng = np.random.default_rng(1)
    boards = [board(study, rng) for _ in range(repetitions)]
    pairs = [pair for of in boards for pair in of]
    means = [np.mean([pair[of] for pair in pairs]) for of in ("predicted", "labels", "corrected")]
    together = np.mean([all(pair["together"] for pair in of) for of in boards])
    wrong = np.mean([any(pair["wrong"] for pair in of) for of in boards])
    sizes = [np.mean([pair[of] for pair in pairs]) for of in ("width", "ratio")]
    widest = max(pair["ratio"] for pair in pairs)
    cells = (*means, together, wrong, *sizes, widest)
    print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=1_000)
    repetitions = parser.parse_args().repetitions
    print(
        f"{repetitions:,} boards each; standard error of a share of boards {np.sqrt(0.05 * 0.95 / repetitions):.4f}\n\n"
        "| what people say, rank correlation | predicted holds | labels hold | corrected holds | all hold together | "
        f"a wrong verdict | width, labels | ratio | largest ratio |\n|{' --- |' * 9}"
    )
    for correlation in (0.0, 0.2, 0.4, 0.7):
        show(f"outcomes of 40 prompts; {correlation}", Study(correlation, voters=0), repetitions)
    show("outcomes of 150 prompts; 0.7", Study(0.7, labelled=150, voters=0), repetitions)
    for correlation in (0.0, 0.4, 0.7):
        show(f"12 voters, 40 prompts; {correlation}", Study(correlation), repetitions)
    show("30 voters, 20 prompts, 3 systems; 0.4", Study(0.4, 3, 20, voters=30), repetitions)
    show("12 voters, systems that are alike; 0.4", Study(0.4, step=0), repetitions)


if __name__ == "__main__":
    main()

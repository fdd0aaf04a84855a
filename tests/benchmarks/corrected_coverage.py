"""How often do win rates over people, from labels and predictions, hold the true rate, and what do predictions save?

A simulated audience: on each prompt people prefer one of two clips by a normal difference, a voter adds noise, a taste
of their own and a habit of choosing the left clip, and a predictor knows the difference with a rank correlation of 0,
.2, .4 or .7 and has a taste for the first system. The true rate is known: that of all voters and prompts, with sides
balanced. A second part does the same for the share of pairs of real videos that a predictor orders rightly,
and of pairs of groups of them. people_boards.py has whole boards, whose verdicts hold together.

    python tests/benchmarks/corrected_coverage.py [--repetitions 10000]

It does not depend on the machine; 15 minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[2]))

from popbench.stats import corrected_median, corrected_win_rate, group_agreement, korn_graubard, order_agreement

CORRELATIONS = (0.0, 0.2, 0.4, 0.7)


@dataclass(frozen=True)
class Audience:
    """What is simulated; standard deviations in units of that of the preference between prompts.

    Attributes:
        correlation: rank correlation of the predicted and the people's difference, within a stratum.
        labels: prompts with labels.
        prompts: prompts altogether.
        strata: categories, alike in size.
        lead: mean difference in favour of the first system.
        spread: how much categories differ.
        bias: the predictor's taste for the first system.
        noise: of one vote.
        position: mean preference for the left clip.
        habits: how much voters differ in it.
        votes: labels of each labelled prompt.
        voters: how many people vote; 0 if every vote is another person's.
        taste: how much voters differ in what they think of the first system.
    """

    correlation: float = 0.4
    labels: int = 100
    prompts: int = 400
    strata: int = 5
    lead: float = 0.25
    spread: float = 0.3
    bias: float = 0.5
    noise: float = 0.7
    position: float = 0.3
    habits: float = 0.3
    votes: int = 1
    voters: int = 0
    taste: float = 0.0

    def leads(self) -> NDArray[np.float64]:
        """Return the mean difference of each category."""
        return np.asarray(self.lead + self.spread * norm.ppf((np.arange(self.strata) + 0.5) / self.strata))

    def truth(self) -> float:
        """Return the true win rate over people."""
        sd = np.sqrt(1 + self.noise**2 + self.habits**2 + self.taste**2)
        sides = np.array([[self.position], [-self.position]])
        return float(norm.cdf((self.leads() + sides) / sd).mean())


@dataclass(frozen=True)
class Measured:
    """Shares of repetitions, and means over them."""

    predicted_holds: float
    labels_hold: float
    corrected_holds: float
    labels_width: float
    ratio: float
    widest: float
    weight: float


def measure(audience: Audience, repetitions: int, seed: int = 1) -> Measured:
    """Draw prompts and votes again and again, and compare intervals with the truth."""
    rng = np.random.default_rng(seed)
    a, truth = audience, audience.truth()
    pearson = 2 * np.sin(np.pi * a.correlation / 6)
    strata = np.arange(a.prompts) % a.strata
    lead = a.leads()[strata]
    predicted, rows = np.empty((repetitions, a.prompts), np.float32), []
    for repetition in range(repetitions):
        preference = rng.standard_normal(a.prompts)
        seen = pearson * preference + np.sqrt(1 - pearson**2) * rng.standard_normal(a.prompts)
        predicted[repetition] = seen + a.bias + lead > 0
        # The prompts are alike, so the first are as good a selection as any; they are spread over the strata.
        labelled = np.tile(np.arange(a.labels), a.votes)
        n = len(labelled)
        side = rng.permutation(np.arange(n) % 2 * 2 - 1)
        voter = rng.permutation(np.arange(n) % a.voters) if a.voters else np.arange(n)
        habit, taste = (sd * rng.standard_normal(n)[voter] for sd in (a.habits, a.taste))
        difference = (lead + preference)[labelled] + taste + a.noise * rng.standard_normal(n)
        labels = difference + (a.position + habit) * side > 0
        found = corrected_win_rate(
            predicted[repetition], labelled, labels, strata, sides=side, voters=voter if a.voters else None
        )
        alone, corrected = found.labels, found.corrected
        rows.append(
            (
                alone.low <= truth <= alone.high,
                corrected.low <= truth <= corrected.high,
                alone.high - alone.low,
                corrected.high - corrected.low,
                (corrected.high - corrected.low) / (alone.high - alone.low),
                found.weight,
            )
        )
    low, high = korn_graubard(predicted, strata)
    table = np.array(rows, dtype=np.float64)
    mean = table.mean(axis=0)
    holds = float(((low <= truth) & (truth <= high)).mean())
    return Measured(holds, mean[0], mean[1], mean[2], mean[3] / mean[2], float(table[:, 4].max()), mean[5])


def show(name: str, of: Measured) -> None:
    """Print a row."""
    shares = (of.predicted_holds, of.labels_hold, of.corrected_holds, of.labels_width, of.ratio, of.widest)
    print(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} | {of.weight:.2f} |", flush=True)


def order_coverage(correlation: float, videos: int, groups: int, repetitions: int) -> tuple[float, float, float]:
    """Return how often the intervals of all 8 bins hold together, that of all pairs, and the mean width of a bin's."""
    rng = np.random.default_rng(1)
    rest = np.sqrt(1 - correlation**2)
    hold = np.zeros(3)
    for _ in range(repetitions):
        shared = np.sqrt(0.3) * rng.standard_normal((2, groups))[:, np.arange(videos) % groups]
        predicted, other = shared + np.sqrt(0.7) * rng.standard_normal((2, videos))
        true, group = correlation * predicted + rest * other, np.arange(videos) % groups
        found = order_agreement(predicted, true, group)
        known = []
        for k in range(len(found.value)):
            # Of pairs of different groups: differences are normal with variance 2.
            size = np.linspace(found.edges[k], found.edges[k + 1], 41)
            density = np.exp(-(size**2) / 4)
            known.append((norm.cdf(correlation * size / (np.sqrt(2) * rest)) * density).sum() / density.sum())
        overall = order_agreement(predicted, true, group, bins=1)
        accuracy = 0.5 + np.arcsin(correlation) / np.pi
        hold += (
            bool(((found.low <= np.array(known) + 1e-9) & (np.array(known) <= found.high + 1e-9)).all()),
            overall.low[0] <= accuracy <= overall.high[0],
            (found.high - found.low).mean(),
        )
    all_bins, one, width = hold / repetitions
    return float(all_bins), float(one), float(width)


def group_coverage(correlation: float, groups: int, size: int, repetitions: int) -> tuple[float, float, float, float]:
    """Return how often the intervals of group_agreement hold, for all 4 bins together and for all pairs in one.

    Groups stand for systems: their predicted and true levels correlate, with half the spread of videos within a group,
    which correlate with .3. The known share is that of pairs of groups of this size, from 200,000 of them. Also returns
    the mean width of a bin's interval, and how much higher the share is where true win rates are those of endless
    groups.
    """
    rng = np.random.default_rng(1)

    def draw(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        level = rng.standard_normal((2, count))
        level[1] = correlation * level[0] + np.sqrt(1 - correlation**2) * level[1]
        own = rng.standard_normal((2, count, size))
        own[1] = 0.3 * own[0] + np.sqrt(1 - 0.3**2) * own[1]
        predicted, true = 0.5 * level[:, :, np.newaxis] + own
        return predicted, true, level[1]

    drawn = []
    half = 2_000
    for _ in range(100):
        predicted, true, level = draw(2 * half)
        x, y = ((of[:half, :, np.newaxis] > of[half:, np.newaxis]).mean(axis=(1, 2)) - 0.5 for of in (predicted, true))
        of_endless = np.sign(level[:half] - level[half:])
        drawn.append([np.abs(x), (1 + np.sign(x) * np.sign(y)) / 2, (1 + np.sign(x) * of_endless) / 2])
    known, agree, in_truth = np.concatenate(drawn, axis=1)
    higher = float((in_truth - agree)[known > 0].mean())

    def share(low: float, high: float) -> float:
        found = agree[(known >= max(low, 1e-9)) & (known <= high)]
        return float(found.mean()) if len(found) else np.nan

    hold = np.zeros(3)
    for _ in range(repetitions):
        predicted, true, _ = draw(groups)
        group = np.repeat(np.arange(groups), size)
        found = group_agreement(predicted.ravel(), true.ravel(), group)
        truth = np.array([share(*found.edges[k : k + 2]) for k in range(len(found.value))])
        overall = group_agreement(predicted.ravel(), true.ravel(), group, bins=1)
        hold += (
            bool((((found.low <= truth) & (truth <= found.high)) | np.isnan(truth)).all()),
            overall.low[0] <= share(*overall.edges) <= overall.high[0],
            (found.high - found.low).mean(),
        )
    all_bins, one, width = hold / repetitions
    return float(all_bins), float(one), float(width), higher


def median_coverage(audience: Audience, scale: float, repetitions: int) -> tuple[float, ...]:
    """Return how often intervals of the median outcome hold, from labels and corrected, their widths and biases.

    Outcomes are the exponential of `scale` times a clip's appeal, of categories that differ; widths and biases are of
    their logarithms.
    """
    rng, a = np.random.default_rng(1), audience
    pearson = 2 * np.sin(np.pi * a.correlation / 6)
    strata = np.arange(a.prompts) % a.strata
    lead = a.leads()[strata]
    (truth,) = np.quantile(rng.standard_normal((100_000, a.strata)) + a.leads(), [0.5])
    rows = []
    for _ in range(repetitions):
        appeal = rng.standard_normal(a.prompts)
        seen = pearson * appeal + np.sqrt(1 - pearson**2) * rng.standard_normal(a.prompts) + lead
        outcomes = np.exp(scale * (appeal + lead))[: a.labels]
        found = corrected_median(seen, np.arange(a.labels), outcomes, strata)
        ends = [(of.low or 0, of.high or np.inf) for of in found]
        holds = [low <= np.exp(scale * truth) <= high for low, high in ends]
        widths = [np.log(high / low) / scale for low, high in ends]
        rows.append([*holds, *widths, *(np.log(of.value) / scale - truth for of in found)])
    return tuple(np.mean(rows, axis=0).tolist())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=10_000)
    repetitions = parser.parse_args().repetitions
    print(
        f"{repetitions:,} repetitions; standard error of a coverage of .95: {np.sqrt(0.95 * 0.05 / repetitions):.4f}\n"
    )
    columns = (
        "predictions alone hold | labels hold | corrected holds | width, labels | ratio | largest ratio | weight |"
    )
    print(f"| rank correlation, labels | {columns}\n|{' --- |' * 8}")
    for labels in (20, 50, 100, 200):
        for correlation in CORRELATIONS:
            audience = Audience(correlation=correlation, labels=labels)
            show(f"{correlation:.1f}, {labels}", measure(audience, repetitions))
    base = Audience()
    others = {
        "win rate .90": replace(base, lead=1.7),
        "win rate .90, 20 labels": replace(base, lead=1.7, labels=20),
        "categories that differ (1.5)": replace(base, spread=1.5),
        "3 votes a prompt, noise 1.5": replace(base, votes=3, noise=1.5),
        "2,000 prompts, correlation .7": replace(base, prompts=2000, correlation=0.7),
        "position 1": replace(base, position=1.0),
        "5 voters": replace(base, voters=5),
        "5 voters, taste .5": replace(base, voters=5, taste=0.5),
        "10 voters": replace(base, voters=10),
        "10 voters, taste .5": replace(base, voters=10, taste=0.5),
        "20 voters": replace(base, voters=20),
        "20 voters, taste .5": replace(base, voters=20, taste=0.5),
        "20 voters, taste .5, 200 labels": replace(base, voters=20, taste=0.5, labels=200),
    }
    print(f"\n| correlation .4, 100 labels, and | {columns}\n|{' --- |' * 8}")
    for name, audience in others.items():
        show(name, measure(audience, repetitions // 5))
    print("\n| correlation, videos, groups | all 8 bins hold | all pairs | width of a bin |\n| --- | --- | --- | --- |")
    for videos, groups in ((60, 60), (200, 200), (200, 40)):
        for correlation in (0.0, 0.3, 0.7):
            cells = order_coverage(correlation, videos, groups, repetitions // 10)
            print(
                f"| {correlation:.1f}, {videos}, {groups} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True
            )

    print(
        "\n| median: correlation, labels, spread | labels hold | corrected holds | width, labels | corrected | "
        f"bias, labels | corrected |\n|{' --- |' * 7}"
    )
    medians = ((0.0, 100, 0.3), (0.4, 100, 0.3), (0.7, 100, 0.3), (0.9, 100, 0.3), (0.7, 100, 1.5), (0.9, 200, 0.3))
    for correlation, labels, spread in medians:
        audience = Audience(correlation=correlation, labels=labels, spread=spread)
        found = median_coverage(audience, 1.5, repetitions // 5)
        print(f"| {correlation}, {labels}, {spread} | {' | '.join(f'{cell:.3f}' for cell in found)} |", flush=True)
    print(
        "\n| correlation of groups, groups, videos of each | all 4 bins hold | all pairs | width of a bin | endless |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for groups, size in ((10, 10), (15, 10), (20, 10)):
        for correlation in (0.0, 0.4, 0.8):
            found = group_coverage(correlation, groups, size, repetitions // 10)
            name = f"{correlation:.1f}, {groups}, {size}"
            print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in found)} |", flush=True)


if __name__ == "__main__":
    main()

"""Sequential comparisons of data from known laws, many repetitions at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from popbench import stats
from popbench.stats.effective import EffectiveComparisons, residual_directions

N, EVERY, CATEGORIES = 200, 20, 5
STRATA = np.arange(N) % CATEGORIES
ROUNDS = np.arange(N) // EVERY


@dataclass(frozen=True)
class Law:
    """Where data come from."""

    kind: str
    systems: int
    theta: float = 0.5
    ties: bool = False
    invalid: float = 0.0
    categories: float = 0.0

    @property
    def strengths(self) -> Any:
        """Of the systems, the best first."""
        gap, place = math.sqrt(2) * ndtri(self.theta), np.arange(self.systems)
        return {
            "equal": np.zeros(self.systems),
            "winner": gap * (place == 0),
            "clusters": gap * (place < self.systems // 2),
            "different": gap * -place,
        }[self.kind]

    @property
    def truth(self) -> Any:
        """Which system of each pair is better: 1, 0, -1."""
        first, second = np.triu_indices(self.systems, 1)
        return np.sign(np.round(self.strengths[first] - self.strengths[second], 9)).astype(int)

    def popularity(self, rng: np.random.Generator, repetitions: int) -> Any:
        """Numbers of which only the order counts, shape (repetitions, systems, prompts)."""
        x = self.strengths[:, None] + rng.normal(size=(repetitions, self.systems, N))
        if self.categories:  # better in some categories and worse in others, by as much: equal systems stay equal
            signs = rng.choice([-1.0, 1.0], (self.systems, 2))
            effects = np.stack([signs[:, 0], -signs[:, 0], signs[:, 1], -signs[:, 1], 0 * signs[:, 0]], axis=1)
            x += self.categories * effects[:, STRATA]
        if self.ties:
            x = np.floor((x + rng.uniform(0, 8, (repetitions, 1, N))) / 2)
        x = x - x.min() + 1
        if self.invalid:
            x[rng.random(x.shape) < self.invalid] = 0
        return x


def outcomes(x: Any) -> Any:
    """Outcomes of all pairs in all repetitions, shape (repetitions, pairs, prompts)."""
    first, second = np.triu_indices(x.shape[1], 1)
    y = np.empty((len(x), len(first), N), np.float32)
    for pair, (a, b) in enumerate(zip(first, second, strict=True)):
        y[:, pair] = (x[:, a] > x[:, b]) * np.float32(0.5) + (x[:, a] >= x[:, b]) * np.float32(0.5)
    return y


def effective_shares(design: stats.SequentialDesign, y: Any) -> Any:
    """The effective number of comparisons at each look, as a share of the pairs: the mean over a few repetitions."""
    shares = []
    for look, n in enumerate(design.looks):
        found = []
        for one in y[:4]:
            effective = EffectiveComparisons(residual_directions(one[:, :n].astype(float), STRATA[:n]))
            found.append(effective.beyond(effective.solve(partial(design.family.at, look))))
        shares.append(np.mean(found) / design.n_pairs)
    return shares


@dataclass
class Result:
    """What came out of many repetitions."""

    verdicts: Any
    candidates: Any
    clips: Any
    held: Any
    held_alone: Any


class Many:
    """The procedure of `stats.replay_looks`, for many repetitions at once."""

    def __init__(self, design: stats.SequentialDesign, y: Any, shares: Any = None) -> None:
        self.design, self.y, self.shares = design, y, shares or effective_shares(design, y)
        self.first, self.second = np.triu_indices(design.n_systems, 1)
        sums, squares = (
            np.cumsum(np.add.reduceat(part, (0, *design.looks[:-1]), axis=2), axis=2)
            for part in (y - 0.5, (y - 0.5) ** 2)
        )
        # Roughly each win rate's distance from 1/2 in standard deviations, at each look.
        self.z = np.abs(sums) / np.sqrt(np.maximum(squares - sums**2 / np.array(design.looks), 1e-3))
        self.wins = np.eye(design.n_systems)[self.first], np.eye(design.n_systems)[self.second]

    def run(self, rates: Any = None) -> Result:
        """Go through the looks. With true win rates, say also of each repetition whether the intervals hold them."""
        design, y = self.design, self.y
        count, pairs, _ = y.shape
        active = np.ones((count, design.n_systems), bool)
        candidates, verdicts, clips, before = active.copy(), np.zeros((count, pairs), int), np.zeros(count), 0
        held, alone = np.ones((count, pairs), bool), np.ones((count, pairs), bool)
        for look, n in enumerate(design.looks):
            clips += active.sum(axis=1) * (n - before)
            measured = active[:, self.first] & active[:, self.second]
            family = verdicts == 0
            if design.goal == "best":
                family &= candidates[:, self.first] & candidates[:, self.second]
            number = np.maximum(family.sum(axis=1) * self.shares[look], 1)
            low, high = self._intervals(look, number, measured & family, rates is None)
            if rates is not None:
                held &= ~(measured & family) | ((low <= rates) & (rates <= high))
                inner = self._intervals(look, np.ones(count), measured, False)
                alone &= ~measured | ((inner[0] <= rates) & (rates <= inner[1]))
            now = (low > 0.5).astype(int) - (high < 0.5)
            verdicts = np.where(family & measured, now, verdicts)
            beaten = self.beaten(verdicts)
            if design.goal == "best":
                low, high = self._intervals(look, np.maximum(candidates.sum(axis=1) - 1, 1), measured & family, True)
                beaten |= self.beaten((low > 0.5).astype(int) - (high < 0.5))
            candidates &= ~beaten
            goes_on = measured & (verdicts == 0)
            if design.goal == "best":
                goes_on &= candidates[:, self.first] & candidates[:, self.second]
            if design.futility and n < N:
                goes_on &= self._chance(look, candidates, verdicts) >= design.futility
            wanted = goes_on.astype(float)
            active &= (wanted @ self.wins[0] + wanted @ self.wins[1]) > 0
            before = n
        return Result(verdicts, candidates, clips / (design.n_systems * N), held, alone)

    def _intervals(self, look: int, number: Any, wanted: Any, far_only: bool) -> Any:
        """Intervals of the wanted pairs where each look is shared by these numbers of comparisons; else [0, 1].

        With `far_only`, pairs that are not nearly far enough from 1/2 to be decided have [0, 1], too.
        """
        n = self.design.looks[look]
        low, high = np.zeros(wanted.shape), np.ones(wanted.shape)
        for value in np.unique(number):
            c = self.design.family.at(look, float(value))
            level = float(1 - 2 * ndtr(-c))
            rows = wanted & (number == value)[:, None]
            if far_only:
                rows &= self.z[:, :, look] > 0.75 * c
            if level < 1 and rows.any():
                low[rows], high[rows] = stats.korn_graubard(self.y[rows][:, :n], STRATA[:n], level)
        return low, high

    def beaten(self, verdicts: Any) -> Any:
        return ((verdicts < 0).astype(float) @ self.wins[0] + (verdicts > 0).astype(float) @ self.wins[1]) > 0

    def _chance(self, look: int, candidates: Any, verdicts: Any) -> Any:
        design, n = self.design, self.design.looks[look]
        asked = candidates.sum(axis=1) - 1 if design.goal == "best" else (verdicts == 0).sum(axis=1)
        values, inverse = np.unique(asked, return_inverse=True)
        c = np.array([design.family.at(len(design.looks) - 1, float(value)) for value in values])[inverse][:, None]
        y = self.y[:, :, :n]
        squares = sum(n / CATEGORIES * y[:, :, STRATA[:n] == of].var(axis=2) for of in range(CATEGORIES))
        z, t = (y.mean(axis=2) - 0.5) * n / np.sqrt(squares + 0.5), n / N
        mean, sd = z / math.sqrt(t), math.sqrt((1 - t) / t)
        return ndtr((mean - c) / sd) + ndtr((-mean - c) / sd)


def e_values(goal: str, y: Any, systems: int) -> Result:
    """Betting on each pair, a mixture of seven stakes on each side; a pair is decided at 2 x pairs / .05."""
    stakes = np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8])
    count, pairs, _ = y.shape
    many = Many(stats.SequentialDesign.rounds(systems, N, EVERY), y)
    active, verdicts, clips = np.ones((count, systems), bool), np.zeros((count, pairs), int), np.zeros(count)
    for n in range(EVERY, N + 1, EVERY):
        clips += active.sum(axis=1) * EVERY
        measured = active[:, many.first] & active[:, many.second]
        wins, losses = ((y[:, :, :n] > 0.5).sum(axis=2)[..., None], (y[:, :, :n] < 0.5).sum(axis=2)[..., None])
        up, down = (
            np.exp(a * np.log1p(stakes) + b * np.log1p(-stakes)).mean(axis=2) > 2 * pairs / 0.05
            for a, b in ((wins, losses), (losses, wins))
        )
        verdicts = np.where((verdicts == 0) & measured, up.astype(int) - down, verdicts)
        candidates = ~many.beaten(verdicts)
        goes_on = measured & (verdicts == 0)
        if goal == "best":
            goes_on &= candidates[:, many.first] & candidates[:, many.second]
        active &= (goes_on.astype(float) @ many.wins[0] + goes_on.astype(float) @ many.wins[1]) > 0
    return Result(verdicts, candidates, clips / (systems * N), None, None)


def wrong(law: Law, verdicts: Any, candidates: Any) -> Any:
    """Whether a repetition has a wrong verdict, rules out the best system, or names one of several best."""
    pairs = ((verdicts != 0) & (verdicts != law.truth)).any(axis=1)
    best = law.strengths == law.strengths.max()
    if best.sum() > 1:
        return pairs | (candidates.sum(axis=1) == 1)
    return pairs | ~candidates[:, best].any(axis=1)


def power(law: Law, goal: str, result: Result) -> float:
    """The share of repetitions that find the best, or of pairs that differ that are decided."""
    if goal == "best":
        return float(((result.candidates.sum(axis=1) == 1) & result.candidates[:, 0]).mean())
    differ = law.truth != 0
    return float((result.verdicts == law.truth)[:, differ].mean()) if differ.any() else math.nan

"""What people's votes say: win rates of pairs of systems from votes alone, and how often the first clip was chosen."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popbench.ballot.votes import Vote
from popbench.records import JSON

LEVEL = 0.95
_POINTS = {"left": 1.0, "tie": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Rate:
    """A share with its interval, of `n` votes by `voters`; without an interval where one voter has all votes."""

    value: float
    low: float | None
    high: float | None
    n: int
    voters: int


@dataclass(frozen=True)
class PairRate:
    """How often people preferred system `a` to `b`; a tie is half a win. With the votes of each kind."""

    a: str
    b: str
    rate: Rate
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Tally:
    """All votes of a run: voters, votes with a choice, skips, win rates by pair, and the share of the first clip."""

    voters: int
    votes: int
    skipped: int
    pairs: tuple[PairRate, ...]
    first: Rate | None

    def as_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "voters": self.voters,
            "votes": self.votes,
            "skipped": self.skipped,
            "first": None if self.first is None else vars(self.first),
            "pairs": [{**vars(pair), "rate": vars(pair.rate)} for pair in self.pairs],
        }


def tally(votes: Sequence[Vote]) -> Tally:
    """Count votes and estimate win rates."""
    given = [vote for vote in votes if vote["choice"] != "skip"]
    by_pair: dict[tuple[str, str], list[Vote]] = {}
    for vote in given:
        a, b = sorted((vote["left"], vote["right"]))
        by_pair.setdefault((a, b), []).append(vote)
    pairs = [_pair(a, b, of_pair) for (a, b), of_pair in sorted(by_pair.items())]
    sided = [vote for vote in given if vote["choice"] != "tie"]
    first = _rate([_POINTS[vote["choice"]] for vote in sided], sided) if sided else None
    voters = {vote["voter"] for vote in votes}
    return Tally(len(voters), len(given), len(votes) - len(given), tuple(pairs), first)


def _pair(a: str, b: str, votes: Sequence[Vote]) -> PairRate:
    points = [_POINTS[vote["choice"]] if vote["left"] == a else 1 - _POINTS[vote["choice"]] for vote in votes]
    return PairRate(a, b, _rate(points, votes), points.count(1.0), points.count(0.5), points.count(0.0))


def _rate(points: Sequence[float], votes: Sequence[Vote]) -> Rate:
    """Return the mean of votes, with an interval for other voters and other prompts.

    Votes of a voter, and votes on a prompt, are alike. Each grouping has its own effective number of votes, after Korn
    and Graubard, and the smaller one gives the Clopper-Pearson interval.
    """
    voters = len({vote["voter"] for vote in votes})
    y = np.array(points)
    if voters < 2:
        return Rate(float(y.mean()), None, None, len(y), voters)
    groupings: tuple[Callable[[Vote], Hashable], ...] = (_voter, _prompt)
    effective = min(_effective(y, [of(vote) for vote in votes]) for of in groupings)
    return Rate(float(y.mean()), *_interval(float(y.mean()), effective), len(y), voters)


def _voter(vote: Vote) -> Hashable:
    return vote["voter"]


def _prompt(vote: Vote) -> Hashable:
    return vote["task"], vote["prompt_id"]


def _effective(y: NDArray[np.float64], groups: Sequence[Hashable]) -> float:
    """Return how many independent votes tell as much as these, in groups of votes that are alike."""
    from scipy.stats import t

    n, mean = len(y), float(y.mean())
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([numbers[group] for group in groups])
    count = len(numbers)
    if count < 2:
        return 1.0
    if mean in (0.0, 1.0):
        return float(count)  # nothing tells how alike the votes of a group are: each group counts as one
    sums = np.bincount(codes, weights=y - mean)
    variance = count / (count - 1) * float(sums @ sums) / n**2
    size = min(n, mean * (1 - mean) / variance) if variance > 0 else float(n)
    tails = t.ppf((1 + LEVEL) / 2, [max(1, n - 1), count - 1])
    return float(max(1.0, size * (tails[0] / tails[1]) ** 2))


def _interval(rate: float, n: float) -> tuple[float, float]:
    from scipy.stats import beta

    k, tail = rate * n, (1 - LEVEL) / 2
    low = 0.0 if k <= 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k >= n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high

"""Pools the paper's win rates: a group of systems against all others, and prompt enhancement against basic.

A pooled rate is the mean of published rates, each of 100 prompts. How sure it is depends on how the comparisons of one
prompt hang together, which is not published. Two assumptions bound it:

    exchangeable    every order of a prompt's videos is equally likely, in each mode apart: wins of a group of m systems
                    against n others then have the distribution of Mann and Whitney's U, and p is exact.
    worst case      all comparisons of a prompt come out alike, so that they are worth no more than one: p is that of
                    the sign test on the prompts of both sets. No dependence gives a pooled rate more variance.

Prompts are independent of each other, those of the concrete and the abstract set too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from popbench import stats
from popbench.paper.contrasts import LEVEL, of_table
from popbench.paper.published import MODES, PROMPTS, Published, paper, published
from popbench.records import JSON

ENHANCEMENT = (4, 5)
"""The tables of prompt enhancement against basic."""


@dataclass(frozen=True)
class Pooled:
    """A pooled comparison: `a` over `b`, `rate` in [0, 1], of `comparisons` rates of the paper.

    `groupings` is the number of comparisons that this one was chosen from, by its p-value; 1 if it was not chosen.
    """

    table: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    comparisons: int
    rate: float
    p: float
    p_worst: float
    worst_interval: tuple[float, float]
    groupings: int = 1

    @property
    def p_chosen(self) -> float:
        """The p-value under exchangeability, by Bonferroni over the groupings that this one was chosen from."""
        return min(1.0, self.groupings * self.p)

    def as_json(self) -> dict[str, JSON]:
        """Return its entry in board.json."""
        return {
            "table": self.table,
            "a": list(self.a),
            "b": list(self.b),
            "comparisons": self.comparisons,
            "win_rate": _ten(self.rate),
            "p_exchangeable": _ten(self.p),
            "groupings": self.groupings,
            "p_exchangeable_chosen": _ten(self.p_chosen),
            "p_worst_case": _ten(self.p_worst),
            "worst_case": [_ten(end) for end in self.worst_interval],
        }


def _ten(value: float) -> float:
    return float(f"{value:.10g}")


@cache
def systems(number: int) -> tuple[Pooled, ...]:
    """Return each system of table 6 or 7 against all others, in the paper's order."""
    names = _names(number)
    return tuple(_split(number, (name,), tuple(other for other in names if other != name)) for name in names)


@cache
def clearest_split(number: int) -> Pooled:
    """Return the division of the systems of table 6 or 7 into two groups that has the smallest p-value.

    The smaller group stands first. `groupings` counts all divisions.
    """
    names = _names(number)
    splits = [
        _split(number, a, tuple(name for name in names if name not in a))
        for size in range(1, len(names) // 2 + 1)
        for a in combinations(names, size)
        if 2 * size < len(names) or names[0] in a
    ]
    best = min(splits, key=lambda item: item.p)
    return Pooled(**{**vars(best), "groupings": len(splits)})


@cache
def enhancement() -> Pooled:
    """Return prompt enhancement over basic, of all LLMs and generators."""
    rates = [item.rate for number in ENHANCEMENT for item in of_table(number)]
    return _pooled("4 and 5", ("PE",), ("basic",), len(rates), sum(rates), _coins([1] * (len(rates) // len(PROMPTS))))


@cache
def enhancement_of_shared_drafts() -> tuple[float, float]:
    """Return the p-values of prompt enhancement if comparisons that render the same drafts come out alike.

    The first holds if those of table 5 do, which has one LLM; the second if one of table 4 does so too.
    """
    wins = sum(item.rate for number in ENHANCEMENT for item in of_table(number))
    llms, generators = (len(of_table(number)) // len(PROMPTS) for number in ENHANCEMENT)
    one, two = ([1] * llms + [generators], [1] * (llms - 1) + [generators + 1])
    return _p(wins, _coins(one)), _p(wins, _coins(two))


def _names(number: int) -> tuple[str, ...]:
    table = published(number)
    return tuple(str(name) for name in table.names(table.keys[0]))


def _split(number: int, a: tuple[str, ...], b: tuple[str, ...]) -> Pooled:
    conditions = len(PROMPTS) * len(MODES)
    comparisons = len(a) * len(b) * conditions
    wins = _wins(published(number), a, b)
    of_prompt = _orders(len(a), len(b))
    for _ in MODES[1:]:
        of_prompt = np.convolve(of_prompt, _orders(len(a), len(b)))
    return _pooled(str(number), a, b, comparisons, wins, of_prompt)


def _wins(table: Published, a: Sequence[str], b: Sequence[str]) -> int:
    """Return the wins of a over b; where the two published directions differ, of the reading closer to one half."""
    n = int(paper()["prompts"])
    cells = list(product(a, b, PROMPTS, MODES))
    forward = sum(int(table.value(*cell) or 0) for cell in cells)
    backward = sum(n - int(table.value(other, one, *rest) or 0) for one, other, *rest in cells)
    half = n * len(cells) / 2
    return min(forward, backward, key=lambda wins: abs(wins - half))


def condition_rates(number: int, name: str) -> Iterator[float]:
    """Yield a system's mean rate over the others by prompts and mode, as the table prints them."""
    table = published(number)
    others = [other for other in _names(number) if other != name]
    for prompts, mode in product(PROMPTS, MODES):
        yield float(np.mean([table.value(name, other, prompts, mode) for other in others])) / int(paper()["prompts"])


def _pooled(
    table: str, a: tuple[str, ...], b: tuple[str, ...], comparisons: int, wins: int, of_prompt: NDArray[np.float64]
) -> Pooled:
    n = len(PROMPTS) * int(paper()["prompts"])
    rate = wins / (comparisons * int(paper()["prompts"]))
    # Of one comparison, wins are whole numbers: the one towards one half, which decides less.
    whole = n - ceil(n * (1 - rate) - 1e-9) if rate > 0.5 else ceil(n * rate - 1e-9)
    alike = (np.arange(n) < whole).astype(np.float64)[np.newaxis]
    return Pooled(
        table, a, b, comparisons, rate, _p(wins, of_prompt), float(stats.sign_test(alike)[0]),
        stats.proportion_interval(whole, n, LEVEL),
    )  # fmt: skip


def _p(wins: int, of_prompt: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of wins on the prompts of both sets, given the wins on one prompt under equality."""
    total = np.ones(1)
    for _ in range(len(PROMPTS) * int(paper()["prompts"])):
        total = np.convolve(total, of_prompt)
    return min(1.0, 2 * float(total[: min(wins, len(total) - 1 - wins) + 1].sum()))


def _orders(m: int, n: int) -> NDArray[np.float64]:
    """Return the probabilities of 0 to m n wins of m videos over n others if all their orders are equally likely."""

    @cache
    def count(m: int, n: int, wins: int) -> int:
        if wins < 0 or not (m and n):
            return int(wins == 0)
        return count(m - 1, n, wins - n) + count(m, n - 1, wins)  # the best video is of the one group or the other

    counts = np.array([count(m, n, wins) for wins in range(m * n + 1)], np.float64)
    of_all: NDArray[np.float64] = counts / counts.sum()
    return of_all


def _coins(weights: Sequence[int]) -> NDArray[np.float64]:
    """Return the probabilities of wins on one prompt, of independent comparisons worth so many wins each."""
    total = np.ones(1)
    for weight in weights:
        total = np.convolve(total, [0.5, *[0.0] * (weight - 1), 0.5])
    return total

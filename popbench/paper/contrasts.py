"""Tests the paper's win rates: tables 4 to 7 as counts of 100 prompts, with intervals and p-values.

A win rate of r % on 100 prompts is taken as r wins and 100 - r losses, without ties and in one stratum, since the paper
publishes neither. The interval is Korn-Graubard's, which then is Clopper and Pearson's; the p-value is that of the
exact sign test. Both come from the functions that judge every board, and they never disagree: an interval excludes 50 %
if and only if p is below its level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from popbench import stats
from popbench.paper.published import paper, published
from popbench.records import JSON

TABLES = (4, 5, 6, 7)
LEVEL = 0.95


@dataclass(frozen=True)
class Contrast:
    """One comparison of the paper: `a` over `b`, in percent of `n` prompts.

    `reverse` is the rate of b over a, if the paper publishes it. If the two do not add up to 100, the larger p-value of
    the two readings is taken. `interval` is at 95 % for this comparison alone, `simultaneous` at Bonferroni's level for
    all comparisons of the table; `p_holm` is adjusted over these, `p_holm_all` over all tables.
    """

    table: int
    a: str
    b: str
    prompts: str
    mode: str | None
    n: int
    rate: int
    reverse: int | None
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    reverse_interval: tuple[float, float] | None
    p: float
    p_holm: float
    p_holm_all: float

    @property
    def disagrees(self) -> bool:
        """Whether the paper's own two rates do not add up to 100."""
        return self.reverse is not None and self.rate + self.reverse != self.n

    @property
    def alone(self) -> str:
        """`better`, `worse` or `undecided`: a against b, judged as the only comparison."""
        return self._verdict(self.p)

    @property
    def bonferroni(self) -> str:
        """The verdict of the simultaneous interval."""
        return self._verdict(min(1.0, self.p * len(of_table(self.table))))

    @property
    def holm(self) -> str:
        """The verdict among all comparisons of the table, by Holm's correction."""
        return self._verdict(self.p_holm)

    @property
    def holm_all(self) -> str:
        """The verdict among all comparisons of all tables."""
        return self._verdict(self.p_holm_all)

    def _verdict(self, p: float) -> str:
        if p > 1 - LEVEL:
            return "undecided"
        return "better" if 2 * self.rate > self.n else "worse"

    def as_json(self) -> dict[str, JSON]:
        """Return its entry in board.json, with rates as fractions."""
        return {
            "table": self.table,
            "a": self.a,
            "b": self.b,
            "prompts": self.prompts,
            "mode": self.mode,
            "n": self.n,
            "win_rate": {
                "value": self.rate / self.n,
                "reverse": None if self.reverse is None else self.reverse / self.n,
                "exact": _rounded(self.interval),
                "simultaneous": _rounded(self.simultaneous),
            },
            "p": _ten(self.p),
            "p_adjusted": _ten(self.p_holm),
            "p_adjusted_all": _ten(self.p_holm_all),
            "verdict_alone": self.alone,
            "verdict_bonferroni": self.bonferroni,
            "verdict": self.holm,
        }


def _ten(value: float) -> float:
    """Return ten significant digits, as boards do: more of them differ between machines."""
    return float(f"{value:.10g}")


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [_ten(end) for end in interval]


@dataclass(frozen=True)
class _Rates:
    table: int
    a: str
    b: str
    prompts: str
    mode: str | None
    rate: int
    reverse: int | None


def _rates() -> Iterator[_Rates]:
    """Yield each comparison once; if the paper publishes both directions, the first one."""
    for number in (4, 5):
        for (name, prompts), (rate,) in published(number).entries.items():
            yield _Rates(number, f"{name}, PE", f"{name}, basic", str(prompts), None, int(rate), None)
    for number in (6, 7):
        table = published(number)
        names = table.names(table.keys[0])
        for (a, b, prompts, mode), (rate,) in table.entries.items():
            if names.index(a) < names.index(b):
                reverse = table.value(b, a, prompts, mode)
                turned = None if reverse is None else int(reverse)
                yield _Rates(number, str(a), str(b), str(prompts), str(mode), int(rate), turned)


@cache
def contrasts() -> tuple[Contrast, ...]:
    """Return all comparisons of tables 4 to 7, in the paper's order."""
    rates, n = list(_rates()), int(paper()["prompts"])
    forward = _outcomes([item.rate for item in rates], n)
    backward = _outcomes([item.rate if item.reverse is None else n - item.reverse for item in rates], n)
    strata = np.zeros(n, dtype=np.int64)
    alone, turned = stats.korn_graubard(forward, strata, LEVEL), stats.korn_graubard(backward, strata, LEVEL)
    p = np.maximum(stats.sign_test(forward), stats.sign_test(backward))
    # Two readings on different sides of one half decide nothing.
    p[np.sign(forward.mean(axis=1) - 0.5) * np.sign(backward.mean(axis=1) - 0.5) < 0] = 1.0
    tables = np.array([item.table for item in rates])
    holm, low, high = np.empty(len(rates)), np.empty(len(rates)), np.empty(len(rates))
    for number in TABLES:
        rows = tables == number
        holm[rows] = stats.holm(p[rows])
        low[rows], high[rows] = stats.korn_graubard(forward[rows], strata, 1 - (1 - LEVEL) / rows.sum())
    holm_all = stats.holm(p)
    return tuple(
        Contrast(
            item.table, item.a, item.b, item.prompts, item.mode, n, item.rate, item.reverse,
            (float(alone[0][index]), float(alone[1][index])),
            (float(low[index]), float(high[index])),
            None if item.reverse is None else (1 - float(turned[1][index]), 1 - float(turned[0][index])),
            float(p[index]), float(holm[index]), float(holm_all[index]),
        )
        for index, item in enumerate(rates)
    )  # fmt: skip


def _outcomes(wins: list[int], n: int) -> NDArray[np.float64]:
    """Return counts of wins as outcomes, shape (comparisons, prompts)."""
    return (np.arange(n) < np.array(wins)[:, np.newaxis]).astype(np.float64)


def of_table(number: int) -> list[Contrast]:
    """Return the comparisons of one table."""
    return [item for item in contrasts() if item.table == number]


def fewest_wins(n: int) -> tuple[int, float]:
    """Return the fewest wins of n that decide a single comparison, and how often equal systems reach them."""
    p = stats.sign_test(_outcomes(list(range(n + 1)), n))
    fewest = next(wins for wins in range(n // 2 + 1, n + 1) if p[wins] <= 1 - LEVEL)
    return fewest, float(p[fewest])


def published_rates() -> int:
    """Count the win rates that the tables print; both directions of a pair count."""
    return sum(len(published(number).entries) for number in TABLES)


def decided(items: Iterable[Contrast], judged: str) -> int:
    """Count the comparisons with a verdict; `judged` is `alone`, `bonferroni`, `holm` or `holm_all`."""
    return sum(getattr(item, judged) != "undecided" for item in items)

"""Compares pairs of systems: the rows of `pairs` and `enhancement` in results.json.

A row says one thing in three ways, to its last digit: `verdict` decides the pair, `simultaneous` excludes 1/2, and
`p_adjusted` is at most .05; or none of them does. `exact` and `p` are one in the same way, of the pair by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from popbench import stats
from popbench.records import JSON, parts_of

LEVEL = 0.95
_ALPHA = 0.05
ONE_PAIR = stats.MaxT.of([0], 1).critical_value(LEVEL)
"""The critical value of a pair by itself."""
RESAMPLES, FEWEST_RESAMPLES = 10_000, 1_000
"""Resamples of the bootstrap; fewer for very many prompts, whose intervals are narrow in any case."""
_DRAWS = 2**28
"""Prompts times resamples at most, each of four bytes, unless the fewest resamples need more."""
BOOTSTRAP_SEED = 42
BASIC = "basic"
VERDICTS = {1: "better", 0: "undecided", -1: "worse"}
OTHER_SIDE = {"better": "worse", "worse": "better", "undecided": "undecided", None: None}
FEWEST_FOR_VERDICTS = 10
"""With fewer prompts, no pair gets a verdict."""


def resamples_of(n_prompts: int) -> int:
    """Return the number of resamples for so many prompts: `RESAMPLES` up to 26,843 prompts."""
    return min(RESAMPLES, max(FEWEST_RESAMPLES, _DRAWS // n_prompts))


def draw(strata: Any) -> stats.Resamples:
    """Draw the resamples that all statistics of a table share."""
    return stats.Resamples.draw(strata, resamples_of(len(strata)), BOOTSTRAP_SEED)


@dataclass(frozen=True)
class Compared:
    """Statistics of pairs that are judged together; arrays of shape (pairs,)."""

    n_prompts: int
    counts: Any
    """Wins, ties and losses."""
    rates: Any
    bootstrap: Any
    exact: Any
    simultaneous: Any
    decided: Any
    """Verdicts: 1, 0 or -1; all 0 if there are too few prompts."""
    p: Any
    p_adjusted: Any
    critical_value: float
    """Standard deviations on either side that the simultaneous intervals stand for."""
    sign_test: Any = None
    """Of runs with one repeat: with more, it tests another hypothesis than that of equal win rates."""

    def rows(self) -> Iterator[dict[str, JSON]]:
        """Yield each pair's fields of results.json, `rounded`."""
        numbers = [self.rates, *self.bootstrap, *self.exact, *self.simultaneous, self.p, self.p_adjusted]
        if self.sign_test is not None:
            numbers.append(self.sign_test)
        columns = (self.decided, *self.counts, *map(rounded_all, numbers))
        judged = self.n_prompts >= FEWEST_FOR_VERDICTS
        for row in zip(*(column.tolist() for column in columns), strict=True):
            verdict, wins, ties, losses, rate, low, high, exact_low, exact_high, *rest = row
            together_low, together_high, p, p_adjusted, *sign_test = rest
            yield {
                "n": self.n_prompts,
                "wins": wins,
                "losses": losses,
                "ties": ties,
                "win_rate": {
                    "value": rate,
                    "low": low,
                    "high": high,
                    "exact": [exact_low, exact_high],
                    "simultaneous": [together_low, together_high],
                },
                "verdict": VERDICTS[verdict] if judged else None,
                "p": p,
                "p_adjusted": p_adjusted,
                **({"sign_test": sign_test[0]} if sign_test else {}),
            }


def compare(y: Any, strata: Any, resamples: stats.Resamples, *, repeats: int = 1, families: int = 1) -> Compared:
    """Compare pairs, given their outcomes of shape (pairs, prompts), and judge them together.

    With several `families` on a board, each is judged so that the verdicts of all of them hold together.
    """
    low, high, furthest = resamples.intervals_and_furthest(y, LEVEL)
    family = stats.MaxT.of(furthest, len(y)).among(families)
    critical_value = family.critical_value(LEVEL)
    exact = _ends(stats.korn_graubard(y, strata, LEVEL))
    together = _ends(stats.simultaneous_intervals(y, strata, critical_value))
    decided, alone = stats.verdicts(*together), stats.verdicts(*exact)
    p = stats.win_rate_p_values(y, strata)
    return Compared(
        n_prompts=y.shape[1],
        counts=stats.outcome_counts(y),
        rates=stats.win_rates(y),
        bootstrap=(low, high),
        exact=exact,
        simultaneous=together,
        decided=decided if y.shape[1] >= FEWEST_FOR_VERDICTS else np.zeros_like(decided),
        p=_on_the_side_of(alone, p),
        p_adjusted=_on_the_side_of(decided, family.adjusted(p)),
        critical_value=critical_value,
        sign_test=stats.sign_test(y) if repeats == 1 else None,
    )


def _ends(interval: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the ends of intervals as they are written, so that they are judged as they are read."""
    low, high = interval
    return rounded_all(low), rounded_all(high)


def _on_the_side_of(decided: Any, p: Any) -> Any:
    """Return p-values rounded, and within that rounding on the side of .05 on which the rounded interval is."""
    return np.where(decided != 0, np.minimum(rounded_all(p), _ALPHA), np.maximum(rounded_all(p), _ALPHA + 1e-11))


def flipped(pair: dict[str, Any]) -> dict[str, Any]:
    """Return a pair seen from its other side."""
    rate = pair["win_rate"]
    turned: dict[str, Any] = {
        **pair,
        "a": pair["b"],
        "b": pair["a"],
        "wins": pair["losses"],
        "losses": pair["wins"],
        "win_rate": {
            "value": 1 - rate["value"],
            "low": 1 - rate["high"],
            "high": 1 - rate["low"],
            "exact": [1 - rate["exact"][1], 1 - rate["exact"][0]],
            "simultaneous": [1 - rate["simultaneous"][1], 1 - rate["simultaneous"][0]],
        },
        "verdict": OTHER_SIDE[pair["verdict"]],
    }
    return {**turned, "win_rate": rounded(turned["win_rate"])}


def contrasts(
    systems: Sequence[str], y: Any, modes: Mapping[str, str], judge: Callable[[Any], Compared]
) -> tuple[list[dict[str, JSON]], float | None]:
    """Compare each mode with `basic` of the same LLM and generator, the mode's side first; return rows of results.json.

    They are judged as a family of their own, by `judge`, whose critical value is returned too, None without contrasts:
    what a mode does is asked of fewer pairs than a board has, and answered with more certainty.

    Args:
        systems: their ids, in the order of the pairs in `y`.
        y: outcomes of all pairs, shape (pairs, prompts).
        modes: names of modes by their labels; a label that is not in it is a name itself.
        judge: compares outcomes of pairs as one family.
    """
    picked, outcomes = [], []
    for (a, b), row in zip(combinations(systems, 2), y, strict=True):
        ours, theirs = parts_of(a), parts_of(b)
        if ours is None or theirs is None or (ours[0], ours[2]) != (theirs[0], theirs[2]):
            continue
        basic = [modes.get(mode, mode) == BASIC for mode in (ours[1], theirs[1])]
        if basic.count(True) != 1:
            continue
        turned = basic[0]
        one, other = (b, a) if turned else (a, b)
        of = {"llm": ours[0], "mode": (theirs if turned else ours)[1], "generator": ours[2]}
        picked.append(({"a": one, "b": other}, of))
        outcomes.append(1 - row if turned else row)
    if not picked:
        return [], None
    compared = judge(np.stack(outcomes))
    rows = [{**pair, **row, **of} for (pair, of), row in zip(picked, compared.rows(), strict=True)]
    return rows, compared.critical_value


def rounded(value: Any) -> Any:
    """Round floats to ten significant digits: more of them differ between machines, and a board must not."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


_POWERS = np.array([float(f"1e{power}") for power in range(23)])
"""The powers of ten that floats hold exactly."""


def rounded_all(values: Any) -> Any:
    """Return an array of floats `rounded`: the same numbers, forty times as fast."""
    x = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 9 - np.floor(np.log10(np.abs(x)))
        scale = _POWERS[np.clip(np.nan_to_num(power), 0, len(_POWERS) - 1).astype(np.intp)]
        scaled = x * scale
        whole = np.rint(scaled)
        rounded_values = whole / scale  # of two exact numbers, so the float next to the decimal number
        # A product is not exact. Where it is not clear which way to round, the exact, slow function decides below.
        clear = (np.abs(np.abs(scaled - whole) - 0.5) > 1e-4) & (np.abs(whole) >= 1e9) & (np.abs(whole) < 1e10)
    clear &= (power >= 0) & (power < len(_POWERS))
    for index in np.flatnonzero(~clear & (x != 0)):
        rounded_values.flat[index] = rounded(float(x.flat[index]))
    return rounded_values

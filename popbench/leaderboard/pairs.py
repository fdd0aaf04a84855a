"""Compares pairs of systems: the rows of `pairs` and `enhancement` in results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from popbench import stats
from popbench.records import JSON, parts_of

LEVEL = 0.95
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

    def rows(self) -> Iterator[dict[str, JSON]]:
        """Yield each pair's fields of results.json, `rounded`."""
        numbers = (self.rates, *self.bootstrap, *self.exact, *self.simultaneous, self.p, self.p_adjusted)
        columns = (self.decided, *self.counts, *map(rounded_all, numbers))
        judged = self.n_prompts >= FEWEST_FOR_VERDICTS
        for row in zip(*(column.tolist() for column in columns), strict=True):
            verdict, wins, ties, losses, rate, low, high, exact_low, exact_high, *rest = row
            together_low, together_high, p, p_adjusted = rest
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
            }


def compare(y: Any, strata: Any, resamples: stats.Resamples) -> Compared:
    """Compare pairs, given their outcomes of shape (pairs, prompts), and judge them together."""
    low, high, critical_value = resamples.intervals_and_critical_value(y, LEVEL)
    together = stats.simultaneous_intervals(y, strata, critical_value)
    decided = stats.verdicts(*together)
    p = stats.sign_test(y)
    return Compared(
        n_prompts=y.shape[1],
        counts=stats.outcome_counts(y),
        rates=stats.win_rates(y),
        bootstrap=(low, high),
        exact=stats.korn_graubard(y, strata, LEVEL),
        simultaneous=together,
        decided=decided if y.shape[1] >= FEWEST_FOR_VERDICTS else np.zeros_like(decided),
        p=p,
        p_adjusted=stats.holm(p),
    )


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


def contrasts(pairs: Sequence[dict[str, Any]], modes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the pairs of a mode against `basic` with the same LLM and generator, with the mode's side first.

    `modes` maps labels to the names of modes; a label that is not in it is a name itself. Holm's adjustment is done
    again over the contrasts alone; the verdict stays that of the pair among all pairs.
    """
    picked = []
    for pair in pairs:
        a, b = parts_of(pair["a"]), parts_of(pair["b"])
        if a is None or b is None or (a[0], a[2]) != (b[0], b[2]):
            continue
        basic = [modes.get(mode, mode) == BASIC for mode in (a[1], b[1])]
        if basic.count(True) != 1:
            continue
        contrast = flipped(pair) if basic[0] else pair
        picked.append({**contrast, "llm": a[0], "mode": (b if basic[0] else a)[1], "generator": a[2]})
    adjusted = stats.holm([contrast["p"] for contrast in picked]).tolist()
    return [{**contrast, "p_adjusted": rounded(p)} for contrast, p in zip(picked, adjusted, strict=True)]


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

"""Formats the numbers of boards, and puts their rows in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor, inf
from typing import Any

from popbench.records import Scale


def percent(value: float | None) -> str:
    """Show a rate in percent: `62.5`, or a dash.

    Halves are rounded away from 50, so that a rate and that of the other side add up to 100.
    """
    if value is None:
        return "–"
    distance = floor(abs(1000 * value - 500) + 0.5 + 1e-7) / 10
    return f"{50 + distance if value >= 0.5 else 50 - distance:.1f}"


def number(value: float) -> str:
    """Show a popularity with three significant digits."""
    if value == 0:
        return "0"
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if abs(value) >= 100 else digits


def rate_interval(value: float | None, interval: Sequence[float] | None) -> str:
    """Show a rate with its interval: `62.5 [55.0, 69.8]`, in percent."""
    if value is None or interval is None:
        return "–"
    return f"{percent(value)} [{percent(interval[0])}, {percent(interval[1])}]"


def pair_rate(rate: Mapping[str, Any] | None) -> str:
    """Show the win rate of a pair with its interval, or a dash."""
    return "–" if rate is None else rate_interval(rate["value"], (rate["low"], rate["high"]))


def knows_valid(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a table has win rates among valid samples: whether any of its samples is invalid."""
    return any(row.get("valid_win_rate") for row in rows)


def valid_rate(row: Mapping[str, Any]) -> tuple[str, str]:
    """Show a win rate among valid samples, and its interval with the number of prompts; a dash for one of none."""
    rate = row.get("valid_win_rate")
    if rate is None:
        return "–", ""
    return percent(rate["value"]), f"[{percent(rate['low'])}, {percent(rate['high'])}] n = {rate['n']}"


def median_ends(median: Mapping[str, Any]) -> tuple[str, str]:
    """Show a median, and its interval: `12.1` and `[9.8, 15]`, or `[–]` where there are too few prompts for any.

    On a real scale, where invalid samples have no number, an end that they reach is called `invalid`.
    """
    value, low, high = ("invalid" if median[end] is None else number(median[end]) for end in ("value", "low", "high"))
    if median["high"] is None and (median["value"] is not None or median["low"] is None):
        return value, "[–]"
    return value, f"[{low}, {high}]"


def median_interval(median: Mapping[str, Any]) -> str:
    """Show a median with its interval: `12.1 [9.8, 15]`."""
    return " ".join(median_ends(median))


def rank_set(rank: Mapping[str, int] | None) -> str:
    """Show a rank with its rank set: `2 [1, 4]`, or a dash."""
    return "–" if rank is None else f"{rank['value']} [{rank['low']}, {rank['high']}]"


def strength(value: Mapping[str, float] | None) -> str:
    """Show a Bradley-Terry strength with its interval: `+0.42 [+0.20, +0.65]`, or a dash."""
    if value is None:
        return "–"
    return "{} [{}, {}]".format(*(f"{value[end]:+.2f}" for end in ("value", "low", "high")))


def p_value(p: float | None) -> str:
    """Show a p-value with two digits, or a dash."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ranked(results: Mapping[str, Any], predictor: str, task: str) -> list[dict[str, Any]]:
    """Return the systems of one table in their order."""
    rows = [row for row in results["systems"] if (row["predictor"], row["task"]) == (predictor, task)]
    return sorted(rows, key=place)


def place(row: Mapping[str, Any]) -> tuple[float, float, float, str]:
    """Return the place of a system among those of its table, for sorting: by rank, mean win rate, median and id."""
    rank = row["rank"]["value"] if row["rank"] else 0
    return rank, -(row["mean_win_rate"] or 0), -median_place(row), row["system"]


def median_place(row: Mapping[str, Any]) -> float:
    """Return the median of a system, for sorting: one of None, which is that of invalid samples, is below all."""
    value = row["median"]["value"]
    return -inf if value is None else float(value)


def scale_of(results: Mapping[str, Any], predictor: str) -> Scale:
    """Return a predictor's scale."""
    real = any(item["name"] == predictor and item.get("scale") == "real" for item in results["predictors"])
    return "real" if real else "positive"


def tau_ends(row: Mapping[str, Any]) -> tuple[str, str]:
    """Show the Kendall's tau of a row of agreement, and how many of the pairs that both decide are decided alike.

    `0.62` and `(19 of 20)`; results of earlier versions have an interval instead, `[0.40, 0.80]`.
    """
    tau, decided = row["tau"], row.get("decided")
    if decided is not None:
        return f"{tau['value']:.2f}", f"({decided['alike']} of {decided['both']})"
    ends = "[–]" if tau["low"] is None else f"[{tau['low']:.2f}, {tau['high']:.2f}]"
    return f"{tau['value']:.2f}", ends


def tau_shown(row: Mapping[str, Any]) -> str:
    """Show the Kendall's tau of a row of agreement with what is beside it: `0.62 (19 of 20)`."""
    return " ".join(tau_ends(row))


def tables(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (predictor, task) of every table, in the order of the results: groups first."""
    return list(dict.fromkeys((row["predictor"], row["task"]) for row in results["systems"]))


def are_enhancement(contrasts: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether all modes that are compared with basic are `pe`: other modes do other things than show references."""
    return all(row["mode"].partition("[")[0] == "pe" for row in contrasts)

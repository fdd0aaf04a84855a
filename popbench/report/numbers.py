"""Formats numbers for a page: the value apart from its interval, so that both align in their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from popbench.leaderboard.shown import median_ends, percent, tau_ends

DASH = "–"


@dataclass(frozen=True, slots=True)
class Shown:
    """A number with its interval as text; `bar` is (low, value, high) in percent of the width of a small drawing."""

    value: str
    interval: str
    bar: tuple[float, float, float] | None = None

    @property
    def text(self) -> str:
        """The value with its interval: `62.5 [55.0, 69.8]`."""
        return f"{self.value} {self.interval}".strip()


NOTHING = Shown(DASH, "")


def rate(value: float | None, interval: Sequence[float] | None) -> Shown:
    """Show a rate in percent."""
    if value is None:
        return NOTHING
    if interval is None:
        return Shown(percent(value), "")
    low, high = interval
    return Shown(percent(value), brackets(interval), (round(100 * low, 2), round(100 * value, 2), round(100 * high, 2)))


def brackets(interval: Sequence[float]) -> str:
    """Show an interval of a rate in percent."""
    return f"[{percent(interval[0])}, {percent(interval[1])}]"


def win_rate(pair: Mapping[str, Any]) -> Shown:
    """Show a pair's win rate with its bootstrap interval."""
    of = pair["win_rate"]
    return rate(of["value"], (of["low"], of["high"]))


def popularity(median: Mapping[str, Any] | None) -> Shown:
    """Show a median popularity."""
    return NOTHING if median is None else Shown(*median_ends(median))


def log_odds(value: Mapping[str, Any] | None) -> Shown:
    """Show a Bradley-Terry score, with its sign."""
    if value is None:
        return NOTHING
    if value["low"] is None or value["high"] is None:
        return Shown(_signed(value["value"]), "[–]")
    return Shown(_signed(value["value"]), f"[{_signed(value['low'])}, {_signed(value['high'])}]")


def _signed(value: float) -> str:
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text in ("+0.00", "−0.00") else text


def rank(value: Mapping[str, Any] | None) -> Shown:
    """Show a rank, and the range of ranks that the verdicts leave open: `2` and `1–4`."""
    if value is None:
        return NOTHING
    low, high = value["low"], value["high"]
    return Shown(str(value["value"]), str(low) if low == high else f"{low}–{high}")


def seconds(value: float | None) -> str:
    """Show a time with two significant digits: `0.037 s`, `12 s`, `3.4 min`."""
    if value is None:
        return DASH
    if value >= 120:
        return f"{value / 60:.0f} min" if value >= 600 else f"{value / 60:.1f} min"
    if value == 0:
        return "0 s"
    return f"{value * 1000:.2g} ms" if value < 0.0995 else f"{value:.2g} s" if value < 9.95 else f"{value:.0f} s"


def memory(megabytes: float | None) -> str:
    """Show a peak of memory."""
    if megabytes is None:
        return DASH
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def tau(row: Mapping[str, Any] | None) -> Shown:
    """Show the Kendall's tau of a row of agreement, and the pairs decided alike of those that both decide."""
    return NOTHING if row is None else Shown(*tau_ends(row))

"""Summarises how far the audited samples are from the predictor's training items, if it says so in `Score.extra`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from popbench.records import JSON
from popbench.stats import proportion_interval

PARTS = ("video", "title")
LIMITS = {"beyond_95": 0.95, "beyond_99": 0.99}
WARNED = 0.05
"""The share of samples beyond the 0.99 quantile of the training items' own distances that is worth a warning."""


def novelty_of(systems: Sequence[str], extras: Sequence[Mapping[str, Any] | None]) -> dict[str, JSON] | None:
    """Summarise `extra["novelty"]` of the unchanged samples, by part and by system; None if no sample has it.

    A quantile of 0.99 means that the item is farther from its nearest training item than 99 % of the training items are
    from theirs.
    """
    summaries: dict[str, JSON] = {}
    for part in PARTS:
        with_quantile = [
            (system, quantile)
            for system, extra in zip(systems, extras, strict=True)
            if (quantile := _quantile(extra, part)) is not None
        ]
        if with_quantile:
            by_system: dict[str, list[float]] = {}
            for system, quantile in with_quantile:
                by_system.setdefault(system, []).append(quantile)
            summaries[part] = {
                **_summary([quantile for _, quantile in with_quantile]),
                "by_system": {system: _summary(of) for system, of in sorted(by_system.items())},
            }
    return summaries or None


def _quantile(extra: Mapping[str, Any] | None, part: str) -> float | None:
    """Return one quantile; None if it is no number from 0 to 1."""
    novelty = extra.get("novelty") if extra is not None else None
    value = novelty.get(part) if isinstance(novelty, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def _summary(quantiles: Sequence[float]) -> dict[str, JSON]:
    summary: dict[str, JSON] = {"n": len(quantiles), "median": median(quantiles)}
    for name, limit in LIMITS.items():
        beyond = sum(quantile > limit for quantile in quantiles)
        low, high = proportion_interval(beyond, len(quantiles))
        summary[name] = {"value": beyond / len(quantiles), "low": low, "high": high}
    return summary


def warnings_of(novelty: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield a warning if more than 5 % of samples are beyond 0.99 and the interval excludes the expected 1 %."""
    for part, summary in (novelty or {}).items():
        beyond = summary["beyond_99"]
        if beyond["value"] > WARNED and beyond["low"] > 1 - LIMITS["beyond_99"]:
            worst = max(summary["by_system"].items(), key=lambda item: item[1]["beyond_99"]["value"])
            yield (
                f"{100 * beyond['value']:.0f} % of the {part}s are farther from all training items than 99 % of these "
                "are from one another, where 1 % would be expected; most by "
                f"{worst[0]}, {100 * worst[1]['beyond_99']['value']:.0f} %. Their scores are extrapolations."
            )

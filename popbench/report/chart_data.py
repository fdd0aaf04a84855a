"""Makes the data of a view's charts: histograms of scores, medians, contrasts, RAG sizes and times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popbench.records import JSON, Scale
from popbench.report.numbers import popularity, rate
from popbench.scores.rows import Rows

BINS = 36
REAL = "_real"
"""The end of the kinds of charts that have a linear axis on a real scale."""
_LABEL, _BASE, _TALLEST = 0.22, 0.92, 0.5
"""Fractions of a row's height: the position of its name, its base line, and the height of the tallest bin."""
_ALONE = 0.68
"""Fraction of a row's height: the position of a mark without bins."""
_LEAST_SECONDS = 1e-4


def scores_by_system(rows: Rows, tasks: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Return the scores of some tasks by system, without those of invalid samples, which have no place on an axis."""
    chosen = rows.where(rows.of_tasks(tasks) & rows.has_status("ok"))
    return {system: chosen.popularity[chosen.of_systems([system])] for system in chosen.system_names}


def distribution(
    rows: Sequence[Mapping[str, Any]], scores: Mapping[str, NDArray[np.float64]], scale: Scale
) -> dict[str, JSON]:
    """Return the chart of the medians of `rows`, best first, with histograms of `scores`, if there are any.

    Its axis is logarithmic; on a real scale, whose scores may be 0 or less, it is linear.
    """
    real = scale == "real"
    values = [float(end) for system in scores.values() for end in (system.min(), system.max())]
    for row in rows:
        ends = (row["median"][key] for key in ("value", "low", "high"))
        values += [value for value in ends if value is not None and (real or value)]
    if not values:
        return {}
    low, high = min(values), max(values)
    if real:
        room = 0.05 * (high - low) or 0.5 * (abs(high) or 1)
        low, high = low - room, high + room
    else:
        low, high = (low / 2, high * 2) if high / low < 4 else (low / 1.15, high * 1.15)
    edges = (np.linspace if real else np.geomspace)(low, high, BINS + 1)
    counts = {
        system: np.histogram(values_of_system, edges)[0] / len(values_of_system)
        for system, values_of_system in scores.items()
    }
    tallest = max((count.max() for count in counts.values()), default=1)
    bins, medians = [], []
    for row_number, row in enumerate(rows):
        system, base = row["system"], row_number + _BASE
        if system in counts:
            heights = [*counts[system], 0]
            bins += [
                {"system": system, "x": _digits(edge), "y": _digits(base - _TALLEST * part / tallest), "base": base}
                for edge, part in zip(edges, heights, strict=True)
            ]
        medians.append(_median_row(row, row_number, _BASE if counts else _ALONE, low))
    intervals = [row for row in medians if row["low"] is not None and row["high"] is not None]
    data = {"bins": bins, "medians": medians, "intervals": intervals}
    ticks = linear_ticks(low, high) if real else log_ticks(low, high)
    return {"kind": f"distribution{REAL * real}", "rows": len(rows), "ticks": ticks, "data": data}


def _median_row(row: Mapping[str, Any], row_number: int, base: float, least: float) -> dict[str, JSON]:
    median, shown = row["median"], popularity(row["median"])
    # No axis can show an invalid sample: a log axis has no 0, and on a real scale it is None.
    drawn = {key: None if median[key] is None else max(median[key], least) for key in ("value", "low", "high")}
    if median["high"] is not None or median["value"] is None:
        drawn |= {key: least for key in ("value", "low") if median[key] is None}
    return {
        **drawn,
        "y": row_number + base,
        "label": row_number + _LABEL,
        "name": row["system"].replace("|", " · "),
        "told": shown.text,
        "tip": f"{row['system']}: median {shown.text}, n = {row['n']:,}",
    }


def contrasts(rows: Sequence[Mapping[str, Any]]) -> dict[str, JSON]:
    """Return the chart of a mode's win rates over basic."""
    bars = []
    for row_number, row in enumerate(rows):
        win_rate = row["win_rate"]
        shown = rate(win_rate["value"], (win_rate["low"], win_rate["high"]))
        name = f"{row['llm']} · {row['mode']} · {row['generator']}"
        bars.append(
            {
                **{key: round(100 * win_rate[key], 2) for key in ("value", "low", "high")},
                "kind": row["verdict"] if row["verdict"] in ("better", "worse") else "open",
                "y": row_number + _ALONE,
                "label": row_number + _LABEL,
                "name": name,
                "told": f"{shown.text}, n = {row['n']:,}",
                "tip": f"{name}: {shown.text} % over basic",
            }
        )
    return _chart("contrasts", {"rows": bars, "half": [{"x": 50}]}) if bars else {}


def sizes(rows: Sequence[Mapping[str, Any]], scale: Scale) -> dict[str, dict[str, JSON]]:
    """Return the charts by the number of references: medians, and win rates over basic."""
    if not rows:
        return {}
    real = scale == "real"
    medians, rates = [], []
    for row in rows:
        series_of = {"series": row["series"], "k": row["k"]}
        median, over = row["numbers"]
        if all(end is not None and (real or end) for end in median.values()):
            medians.append({**series_of, **median, "tip": f"{row['series']}, {row['k']}: median {row['median'].text}"})
        if over is not None:
            numbers = {key: round(100 * over[key], 2) for key in ("value", "low", "high")}
            rates.append({**series_of, **numbers, "tip": f"{row['series']}, {row['k']}: {row['rate'].text} %"})
    return {
        "sizes_median": {
            "kind": f"sizes_median{REAL * real}",
            "rows": 0,
            "ticks": _ticks_of(medians, linear_ticks if real else log_ticks),
            "data": {"median": medians},
        },
        "sizes_rate": {"kind": "sizes_rate", "rows": 0, "data": {"rate": rates, "half": [{"x": 50}]}},
    }


def times(rows: Sequence[Mapping[str, Any]]) -> dict[str, JSON]:
    """Return the chart of the seconds of each stage."""
    bars: list[dict[str, JSON]] = []
    for row in rows:
        if row["seconds"]:
            low, middle, high = (max(value, _LEAST_SECONDS) for value in row["seconds"])
            row_number = len(bars)
            name = f"{row['stage']} · {row['name']}"
            bars.append(
                {
                    "low": low, "value": middle, "high": high, "y": row_number + _ALONE, "label": row_number + _LABEL,
                    "name": name, "told": f"{row['median']}, n = {row['n']:,}", "tip": f"{name}: {row['median']}",
                }
            )  # fmt: skip
    return {**_chart("stages", {"stages": bars}), "ticks": _ticks_of(bars, log_ticks)} if bars else {}


def _chart(kind: str, data: dict[str, list[dict[str, JSON]]]) -> dict[str, JSON]:
    return {"kind": kind, "rows": max(len(rows) for rows in data.values()), "data": data}


def _ticks_of(rows: Sequence[Mapping[str, Any]], ticks: Callable[[float, float], list[float]]) -> list[float]:
    return ticks(min(row["low"] for row in rows), max(row["high"] for row in rows)) if rows else []


def log_ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Return round numbers within a range for a log axis: 1, 2 and 5 of each decade, or fewer of them."""
    first, last = floor(log10(low)), floor(log10(high))
    for steps, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        decades = range(first, last + 1)
        ticks = [float(f"{step}e{decade}") for decade in decades if decade % every == 0 for step in steps]
        within = [tick for tick in ticks if low <= tick <= high]
        if len(within) <= most:
            break
    return within


def linear_ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Return round numbers within a range for a linear axis, at steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    least = (high - low) / most
    power = 10.0 ** floor(log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return [_digits(number * step) for number in range(ceil(low / step), floor(high / step) + 1)]


def _digits(value: float) -> float:
    return float(f"{value:.5g}")

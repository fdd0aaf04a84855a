"""Shows what a card says of a predictor: as markdown, and as the rows of tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from popbench.records import JSON

METRICS: Mapping[str, str] = {
    "mae": "MAE, log2",
    "nmse": "nMSE",
    "src": "SRC",
}
"""Metrics and their names in tables: mean absolute error, normalized squared error, Spearman's correlation."""
_CATEGORIES = 12
"""How many categories are shown; card.json has all."""


def metric(values: Mapping[str, JSON], digits: int = 3) -> str:
    """Return a metric with its interval as text: `0.612 [0.580, 0.641]`."""
    if values["value"] is None:
        return "–"
    return f"{values['value']:.{digits}f} [{values['low']:.{digits}f}, {values['high']:.{digits}f}]"


def metrics_lines(metrics: Mapping[str, Any] | None, flat: str) -> Iterator[str]:
    """Yield the metrics of a card as markdown; `flat` says what the predictor is compared with, if with anything."""
    if not metrics:
        yield "**Not measured**: nothing is known of how well it predicts (`popbench predictor eval` measures it)."
        yield ""
        return
    head, *rows = metric_table(metrics, flat)
    yield f"| {' | '.join(head)} |"
    yield "|".join(["", " :-- ", *[" --: "] * (len(head) - 1), ""])
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
    yield "Brackets hold 95 % intervals of a bootstrap over the videos."
    yield ""
    tables = pair_tables(metrics)
    if tables:
        yield (
            f"Of two videos, it puts the more popular one first with probability {metric(metrics['pairs'])}, by all "
            f"{metrics['pairs']['pairs']:,} pairs of {metrics['pairs']['videos']:,} videos{_equal(metrics['pairs'])}. "
            "Pairs share videos: the intervals are those of the effective number of pairs."
        )
        yield ""
    for heading, of_pairs in tables:
        yield f"| {heading} | pairs | in the right order |"
        yield "| :-- | --: | --: |"
        yield from (f"| {plain(name).replace('|', '/')} | {pairs} | {share} |" for name, pairs, share in of_pairs)
        yield ""


def _equal(pairs: Mapping[str, Any]) -> str:
    return f" that it predicts to differ ({pairs['equal']:,} more are predicted equal)" if pairs.get("equal") else ""


def metric_table(metrics: Mapping[str, Any], flat: str) -> list[list[str]]:
    """Return the table of metrics, its head first; of scores that are no counts, the rank correlation alone."""
    model, of_flat = metrics["model"], metrics.get("mean")
    head = [f"on {model['n']:,} videos of part {metrics['part']}", "this model", *([flat] if of_flat else [])]
    rows = [
        [shown, metric(model[name]), *([metric(of_flat[name])] if of_flat else [])]
        for name, shown in METRICS.items()
        if name in model
    ]
    return [head, *rows]


def pair_tables(metrics: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return the tables of pairwise accuracy, each with the heading of its first column; none if it has no pairs.

    Differences of log2 are shown as factors.
    """
    pairs = metrics.get("pairs")
    if not pairs:
        return []
    whole = ("all pairs", f"{pairs['pairs']:,}", metric(pairs))
    real = pairs.get("scale") == "real"
    by_size = [(sizes(row, real=real), f"{row['pairs']:,}", metric(row)) for row in pairs["by_difference"]]
    tables = [(f"predicted to differ by{'' if real else ' a factor'}", [whole, *by_size])]
    if len(pairs["by_category"]) > 1:
        rows = pairs["by_category"][:_CATEGORIES]
        tables.append(("within category", [(row["category"], f"{row['pairs']:,}", metric(row)) for row in rows]))
    if between := pairs.get("between_categories"):
        rows_between = [(f"{between['categories']} categories", f"{between['pairs']:,}", metric(between))]
        tables.append(("between categories", rows_between))
    return tables


def sizes(row: Mapping[str, Any], *, real: bool) -> str:
    """Return the limits of a row of `by_difference` as text: of factors, or of scores on a real scale."""
    least, most = (None if end is None else end if real else 2**end for end in (row["from"], row["to"]))
    return f"from {least:.3g}" if most is None else f"from {least:.3g} to {most:.3g}"


def code(text: object) -> str:
    """Return a text as code in markdown."""
    return f"`{plain(str(text)).replace('`', chr(39))}`"


def plain(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())

"""The page's charts as Vega-Lite, by altair: one specification of each kind, which every view fills with its data.

Colours are the page's own CSS variables, which SVG takes as they are: a chart follows the theme without being drawn
again.
"""

from __future__ import annotations

from typing import Any

import altair as alt

INK, SOFT, RULE, BETTER, WORSE, OPEN = (f"var(--{name})" for name in ("ink", "soft", "rule", "blue", "orange", "open"))
_SERIES = [f"var(--series-{number})" for number in range(1, 9)]
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_KIND = alt.Scale(domain=["better", "worse", "open"], range=[BETTER, WORSE, OPEN])


def specifications() -> dict[str, dict[str, Any]]:
    """Return the specification of every kind of chart; their data sets are named and come from each view."""
    charts = {
        "distribution": _distribution("log"),
        "distribution_real": _distribution("linear"),
        "contrasts": _contrasts(),
        "sizes_median": _sizes("median", "log"),
        "sizes_median_real": _sizes("median", "linear"),
        "sizes_rate": _sizes("rate", "linear"),
        "stages": _stages(),
    }
    return {name: _styled(chart).to_dict(validate=False) for name, chart in charts.items()}


def gain(unit: str) -> dict[str, Any]:
    """Return the specification of the gain of a search by what it has spent: the leader's win rate over the start."""
    axis = alt.Axis(title=f"spent, {unit}", tickCount=6, grid=False)
    x = alt.X("spent:Q", axis=axis, scale=alt.Scale(nice=True, zero=True))
    scale = alt.Scale(domain=[0, 100])
    y = alt.Y("value:Q", scale=scale, axis=alt.Axis(title="win rate over the start, %", tickCount=5))
    half = _named("half").mark_rule(color=SOFT, strokeDash=[3, 3]).encode(y=alt.Y("y:Q", scale=scale))
    interval = _named("intervals").mark_rule(color=BETTER, strokeWidth=2, opacity=0.45).encode(
        x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )  # fmt: skip
    line = _named("line").mark_line(interpolate="step-after", color=BETTER, strokeWidth=2).encode(x=x, y=y)
    point = _named("rounds").mark_point(filled=True, color=BETTER, size=80, opacity=1).encode(
        x=x, y=y, tooltip=alt.Tooltip("tip:N")
    )  # fmt: skip
    name = _named("rounds").mark_text(align="left", dx=8, dy=-8, color=INK, fontSize=12).encode(x=x, y=y, text="name:N")
    return dict(_styled(alt.layer(half, interval, line, point, name)).properties(height=300).to_dict(validate=False))


def _styled(chart: Any) -> Any:
    return (
        chart.add_params(alt.param(name="rows", value=1), alt.param(name="ticks", value=[]))
        .properties(width="container", background="transparent", padding=0)
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=SOFT, titleColor=SOFT, gridColor=RULE, domainColor=RULE, tickColor=RULE, labelFontSize=12,
            titleFontSize=12, titleFontWeight="normal", labelPadding=6, titlePadding=10,
        )
        .configure_text(font=_FONT, fontSize=13)
        .configure_legend(labelColor=INK, titleColor=SOFT, orient="bottom", columns=1, labelLimit=360, title=None)
    )  # fmt: skip


def _named(name: str) -> Any:
    return alt.Chart(alt.NamedData(name=name))


def _rows(**axis: Any) -> Any:
    """Rows from the top: row 0 lies between 0 and 1; names are drawn inside, so the axis itself is not."""
    scale = alt.Scale(reverse=True, nice=False, domainMin=0, domainMax=alt.ExprRef("rows"))
    return alt.Y("y:Q", axis=None, scale=scale, **axis)


def _labels(name: str) -> tuple[Any, Any]:
    """A row's name at its left edge, its numbers at the right one."""
    y = alt.Y("label:Q", axis=None)
    room = alt.ExprRef("width < 480 ? width : width - 170")
    shown = alt.ExprRef("width < 480 ? 0 : 1")  # narrow screens have no room for both: the numbers are in the table too
    left = _named(name).mark_text(align="left", color=INK, baseline="middle", limit=room)
    right = _named(name).mark_text(align="right", color=SOFT, baseline="middle", fontSize=12, opacity=shown)
    return (
        left.encode(x=alt.value(0), y=y, text="name:N"),
        right.encode(x=alt.value("width"), y=y, text="told:N"),
    )


def _along(field: str, kind: Any = "log", title: str = "") -> Any:
    """Place by a logarithm, or linearly, with the ticks that the data come with."""
    axis = alt.Axis(title=title, values=alt.ExprRef("ticks"))
    return alt.X(field, scale=alt.Scale(type=kind, nice=False, padding=6, zero=_no_zero(kind)), axis=axis)


def _no_zero(kind: str) -> Any:
    """A linear axis need not hold 0; a log axis never does."""
    return False if kind == "linear" else alt.Undefined


def _distribution(kind: str) -> Any:
    """Histograms on one axis, one above the other, with the median and its interval under each."""
    area = (
        _named("bins")
        .mark_area(interpolate="step-after", color=SOFT, fillOpacity=0.28, line=False)
        .encode(x=_along("x:Q", kind), y=_rows(), y2="base:Q", detail="system:N")
    )
    base = _named("medians").mark_rule(color=RULE).encode(y=_rows())
    interval = (
        _named("intervals")
        .mark_rule(color=BETTER, strokeWidth=3)
        .encode(x=_along("low:Q", kind), x2="high:Q", y=_rows())
    )
    point = (
        _named("medians")
        .mark_point(filled=True, color=BETTER, size=70, opacity=1)
        .encode(x=_along("value:Q", kind), y=_rows(), tooltip=alt.Tooltip("tip:N"))
    )
    return alt.layer(base, area, interval, point, *_labels("medians"))


def _contrasts() -> Any:
    """Win rates over basic with their intervals, against one half."""
    scale = alt.Scale(domain=[0, 100])
    axis = alt.Axis(title="win rate over basic, %", tickCount=5)
    colour = alt.Color("kind:N", scale=_KIND, legend=None)
    half = _named("half").mark_rule(color=SOFT, strokeDash=[3, 3]).encode(x=alt.X("x:Q", scale=scale, axis=axis))
    interval = (
        _named("rows")
        .mark_rule(strokeWidth=3)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=_rows(), color=colour)
    )
    point = (
        _named("rows")
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=alt.X("value:Q", scale=scale), y=_rows(), color=colour, tooltip=alt.Tooltip("tip:N"))
    )
    return alt.layer(half, interval, point, *_labels("rows"))


def _sizes(what: str, kind: Any) -> Any:
    """A measure by the number of references, a line for each LLM and generator."""
    x = alt.X("k:O", title="references shown", axis=alt.Axis(labelAngle=0, grid=False))
    offset = alt.XOffset("series:N", scale=alt.Scale(paddingOuter=0.4))
    title = "win rate over basic, %" if what == "rate" else ""
    domain = (
        alt.Scale(domain=[0, 100])
        if what == "rate"
        else alt.Scale(type=kind, nice=False, padding=12, zero=_no_zero(kind))
    )
    axis = alt.Axis(tickCount=5) if what == "rate" else alt.Axis(values=alt.ExprRef("ticks"))
    y = alt.Y("value:Q", title=title, scale=domain, axis=axis)
    colour = alt.Color("series:N", scale=alt.Scale(range=_SERIES))
    chart = _named(what)
    layers = [
        chart.mark_line(strokeWidth=1.5, opacity=0.5).encode(x=x, xOffset=offset, y=y, color=colour),
        chart.mark_rule(strokeWidth=2).encode(
            x=x, xOffset=offset, y=alt.Y("low:Q", scale=domain), y2="high:Q", color=colour
        ),
        chart.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, xOffset=offset, y=y, color=colour, tooltip=alt.Tooltip("tip:N")
        ),
    ]
    if what == "rate":
        half = _named("half").mark_rule(color=SOFT, strokeDash=[3, 3])
        layers.insert(0, half.encode(y=alt.Y("x:Q", scale=domain)))
    return alt.layer(*layers).properties(height=240)


def _stages() -> Any:
    """Seconds of a draft, a clip and a score: quartiles and median, on a log axis."""
    title = "seconds each"
    interval = (
        _named("stages")
        .mark_rule(strokeWidth=3, color=SOFT, opacity=0.7)
        .encode(x=_along("low:Q", title=title), x2="high:Q", y=_rows())
    )
    point = (
        _named("stages")
        .mark_point(filled=True, size=70, opacity=1, color=INK)
        .encode(x=_along("value:Q", title=title), y=_rows(), tooltip=alt.Tooltip("tip:N"))
    )
    return alt.layer(interval, point, *_labels("stages"))

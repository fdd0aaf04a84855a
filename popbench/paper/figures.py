"""The paper's figures from the tables' numbers: intervals as lines, the published numbers as hollow diamonds.

Figure 3 shows table 2, figure 4 table 3, figure 5 tables 4 and 5, and figures 6 to 8 the tables of the same numbers.
They are drawn in `currentColor`, so that they fit a light and a dark page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from popbench.leaderboard.shown import percent
from popbench.paper.entries import Entry, Lookup, PaperTable, system
from popbench.paper.published import MODES, PROMPTS
from popbench.paper.tables import HUMAN_ROW
from popbench.planning.human import NAME as HUMAN_SYSTEM
from popbench.text import visible

INK, QUIET = "currentColor", "#8b949e"
BLUE, ORANGE = "#3d85c6", "#d0742a"
_SERIES = [BLUE, ORANGE, "#2f9e77", "#a15cb5", "#a98307", "#c4476f", "#6b7885", "#1794ad"]
_COLOUR = alt.Scale(domain=list(PROMPTS), range=[BLUE, ORANGE])
_ROOMY = 8
"""Systems in a heat map at most for numbers in its cells."""

_STYLE = {
    "background": "transparent",
    "padding": {"left": 28, "right": 12, "top": 4, "bottom": 4},  # fonts may be wider than the one that was measured
    "config": {
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": INK, "titleColor": INK, "gridColor": QUIET, "gridOpacity": 0.25, "domainColor": QUIET,
            "tickColor": QUIET, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
            "labelLimit": 280,
        },
        "title": {"color": INK, "fontSize": 13, "anchor": "start", "frame": "group"},
        "legend": {
            "labelColor": INK, "orient": "bottom", "title": None, "labelLimit": 280, "labelFontSize": 12, "columns": 4,
            "columnPadding": 18, "symbolOpacity": 1,
        },
    },
}  # fmt: skip

Record = dict[str, Any]


def _shown(value: Any) -> Any:
    """Return a chart with visible texts only: Vega's expressions take no line separators."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


class _Canvas:
    """Holds the data apart from the chart, since altair copies and checks a chart with its data many times."""

    def __init__(self) -> None:
        self._data: dict[str, list[Record]] = {}

    def chart(self, records: Iterable[Record], *needed: str) -> Any:
        """Begin a chart of the records of which these numbers are known."""
        name = f"data-{len(self._data)}"
        self._data[name] = [record for record in records if all(record[key] is not None for key in needed)]
        return alt.Chart(alt.NamedData(name=name))

    def draw(self, chart: Any) -> str:
        """Draw as SVG, without altair's configure methods, which would copy and check all parts again."""
        version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
        content = {**chart.to_dict(validate=False), **_STYLE, "datasets": self._data}
        svg: str = vl_convert.vegalite_to_svg(_shown(content), vl_version=version)
        return svg


def _record(entry: Entry, scale: float = 1, **names: Any) -> Record:
    """Return an entry as a chart's data; `scale` 100 turns a rate into percent."""
    numbers = {"value": entry.value, "low": entry.low, "high": entry.high, "published": entry.published}
    return {**names, **{key: None if value is None else scale * value for key, value in numbers.items()}}


def _positive(records: Sequence[Record]) -> tuple[list[Record], Any]:
    """Return the records that a log axis can show, and the axis' scale."""
    kept: list[Record] = []
    ends: list[float] = []
    for record in records:
        shown = {name: value if isinstance(value, str) or (value or 0) > 0 else None for name, value in record.items()}
        kept.append(shown)
        ends += [value for name, value in shown.items() if name in _NUMBERS and value is not None]
    low, high = (min(ends), max(ends)) if ends else (1.0, 10.0)
    return kept, alt.Scale(type="log", domain=[low / 1.15, high * 1.15], nice=False)


_NUMBERS = ("value", "low", "high", "published", "score")


def _marks(
    canvas: _Canvas, records: Sequence[Record], along: Callable[[str], Any], across: Mapping[str, Any], way: str = "x"
) -> list[Any]:
    """Layer intervals, values and published numbers; `along` makes the channel of a number on the axis `way`."""
    rules = canvas.chart(records, "low", "high").mark_rule(strokeWidth=2.5)
    points = canvas.chart(records, "value").mark_point(filled=True, size=70, opacity=1)
    hollow = canvas.chart(records, "published").mark_point(
        filled=False, shape="diamond", size=110, strokeWidth=1.6, opacity=1
    )
    return [
        rules.encode(**{way: along("low"), f"{way}2": "high:Q"}, **across),
        points.encode(**{way: along("value")}, **across),
        hollow.encode(**{way: along("published")}, **across),
    ]


def _along(scale: Any, title: str, channel: Any = alt.X) -> Callable[[str], Any]:
    axis = alt.Axis(title=title, tickCount=5)
    return lambda name: channel(f"{name}:Q", scale=scale, axis=axis)


def _names(field: str, order: Sequence[str], first: bool = True) -> Any:
    """Return an axis of names from the top; without labels unless it is the `first` panel's."""
    axis = alt.Axis(title=None) if first else alt.Axis(title=None, labels=False, ticks=False)
    return alt.Y(f"{field}:N", sort=list(order), axis=axis)


def _steps(size: int) -> Any:
    """Return a height of so many pixels for each line of a row."""
    return alt.Step(size, **{"for": "offset"})


def popularity(table: PaperTable, look: Lookup) -> str | None:
    """Figure 3: every prompt's popularity as a faint tick, with the median and its interval, by LLM."""
    canvas = _Canvas()
    if not table.covered:
        return None
    order = [names[0] for names, _ in table.rows]
    mode, generator = look.choices.mode, look.choices.generators[2]
    records = []
    for panel, prompts in enumerate(PROMPTS):
        for (name,), entries in table.rows:
            of = HUMAN_SYSTEM if name == HUMAN_ROW else system(name, mode, generator)
            records.append(_record(entries[panel], name=name, prompts=prompts, score=None))
            records += [
                {**_record(Entry(), name=name, prompts=prompts), "score": value}
                for value in look.evidence.values(look.choices.tasks[prompts], of)
            ]
    records, scale = _positive(records)
    along = _along(scale, f"predicted {look.evidence.measure}")
    panels = []
    for prompts, colour in zip(PROMPTS, (BLUE, ORANGE), strict=True):
        own = [record for record in records if record["prompts"] == prompts]
        y = _names("name", order, prompts == PROMPTS[0])
        ticks = canvas.chart(own, "score").mark_tick(opacity=0.35, thickness=1, color=QUIET, aria=False)
        layers = [
            ticks.encode(x=along("score"), y=y),
            *_marks(canvas, own, along, {"y": y, "color": alt.value(colour)}),
        ]
        panels.append(alt.layer(*layers).properties(width=300, height=alt.Step(34), title=prompts.capitalize()))
    return canvas.draw(alt.hconcat(*panels, spacing=20))


def by_category(table: PaperTable, look: Lookup) -> str | None:
    """Figure 4: medians by category, one line for each LLM."""
    canvas = _Canvas()
    if not table.covered:
        return None
    llms = [column.name for column in table.columns]
    records = [
        _record(entry, category=category, prompts=prompts, llm=llm)
        for (category, prompts), entries in table.rows
        for llm, entry in zip(llms, entries, strict=True)
    ]
    records, scale = _positive(records)
    order = list(dict.fromkeys(names[0] for names, _ in table.rows))
    along = _along(scale, f"median {look.evidence.measure}")
    panels = []
    for prompts in PROMPTS:
        own = [record for record in records if record["prompts"] == prompts]
        across = {
            "y": _names("category", order, prompts == PROMPTS[0]),
            "yOffset": alt.YOffset("llm:N", sort=llms, scale=alt.Scale(paddingOuter=0.6)),
            "color": alt.Color("llm:N", sort=llms, scale=alt.Scale(range=_SERIES)),
        }
        layers = _marks(canvas, own, along, across)
        panels.append(alt.layer(*layers).properties(width=300, height=_steps(14), title=prompts.capitalize()))
    return canvas.draw(alt.hconcat(*panels, spacing=20))


def enhancement(tables: Sequence[PaperTable]) -> str | None:
    """Figure 5: win rates of prompt enhancement over basic, by LLM and by generator."""
    canvas = _Canvas()
    panels = []
    for table in tables:
        if not table.covered:
            continue
        order = [row[0][0] for row in table.rows]
        records = [
            _record(entry, 100, name=names[0], prompts=prompts)
            for names, entries in table.rows
            for prompts, entry in zip(PROMPTS, entries, strict=True)
        ]
        along = _along(alt.Scale(domain=[0, 100]), "win rate over basic, %")
        across = {
            "y": _names("name", order),
            "yOffset": alt.YOffset("prompts:N", sort=list(PROMPTS), scale=alt.Scale(paddingOuter=0.6)),
            "color": alt.Color("prompts:N", scale=_COLOUR),
        }
        half = canvas.chart([{"half": 50}]).mark_rule(color=INK, strokeDash=[3, 3], opacity=0.7)
        layers = [half.encode(x=along("half")), *_marks(canvas, records, along, across)]
        title = f"{table.names[0]}s ({table.setting})"
        panels.append(alt.layer(*layers).properties(width=460, height=_steps(16), title=title))
    return canvas.draw(alt.vconcat(*panels, spacing=24)) if panels else None


def pairwise(table: PaperTable) -> str | None:
    """Figures 6 and 7: win rates of the row over the column; undecided pairs are grey."""
    canvas = _Canvas()
    if not table.covered:
        return None
    order = list(dict.fromkeys(names[0] for names, _ in table.rows))
    roomy = len(order) <= _ROOMY
    lines = []
    for prompts in PROMPTS:
        panels = []
        for mode in MODES:
            index = next(
                i for i, column in enumerate(table.columns) if (column.prompts, column.mode) == (prompts, mode)
            )
            records = [
                _pair(names, entries[index]) for names, entries in table.rows if entries[index].value is not None
            ]
            if records:
                panels.append(
                    _heat(canvas, records, order, f"{prompts.capitalize()}, {'PE' if mode == 'pe' else mode}", roomy)
                )
        if panels:
            lines.append(alt.hconcat(*panels, spacing=28))
    return canvas.draw(alt.vconcat(*lines, spacing=24))


def _pair(names: Sequence[str], entry: Entry) -> Record:
    value = entry.value or 0.0
    kind = "undecided" if not entry.decided else "better" if value > 0.5 else "worse"
    interval = "" if entry.low is None else f"[{percent(entry.low)}, {percent(entry.high)}]"
    published = "" if entry.published is None else f"◇ {100 * entry.published:g}"
    return {
        "a": names[0], "b": names[1], "kind": kind, "far": abs(value - 0.5), "rate": percent(value),
        "interval": interval, "published": published,
    }  # fmt: skip


def _heat(canvas: _Canvas, records: Sequence[Record], order: Sequence[str], title: str, roomy: bool) -> Any:
    base = canvas.chart(list(records)).encode(
        x=alt.X(
            "b:N",
            sort=list(order),
            axis=alt.Axis(title=None, orient="top", labelAngle=0 if roomy else -60, labelLimit=90),
        ),
        y=alt.Y("a:N", sort=list(order), axis=alt.Axis(title=None, labelLimit=180)),
    )
    kinds = alt.Scale(domain=["better", "worse", "undecided"], range=[BLUE, ORANGE, QUIET])
    cells = base.mark_rect(stroke=QUIET, strokeOpacity=0.3).encode(
        color=alt.Color("kind:N", scale=kinds),
        opacity=alt.Opacity("far:Q", scale=alt.Scale(domain=[0, 0.5], range=[0.15, 0.7]), legend=None),
    )
    layers = [cells]
    if roomy:
        layers += [
            base.mark_text(color=INK, fontSize=13, fontWeight=600, dy=-12).encode(text="rate:N"),
            base.mark_text(color=INK, fontSize=10, dy=3).encode(text="interval:N"),
            base.mark_text(color=INK, fontSize=10.5, dy=17).encode(text="published:N"),
        ]
    width, height = (96, 54) if roomy else (22, 22)
    return alt.layer(*layers).properties(width=alt.Step(width), height=alt.Step(height), title=title)


def by_rag_size(table: PaperTable, look: Lookup) -> str | None:
    """Figure 8: medians by RAG size."""
    canvas = _Canvas()
    if not table.covered:
        return None
    many = len({names[0] for names, _ in table.rows}) < len(table.rows)
    labels = [names[1] if many else names[0] for names, _ in table.rows]
    records = [
        _record(entry, size=label, prompts=prompts)
        for label, (_, entries) in zip(labels, table.rows, strict=True)
        for prompts, entry in zip(PROMPTS, entries, strict=True)
    ]
    records, scale = _positive(records)
    along = _along(scale, f"median {look.evidence.measure}", alt.Y)
    across = {
        "x": alt.X("size:N", sort=labels, axis=alt.Axis(title="RAG size", labelAngle=0)),
        "xOffset": alt.XOffset("prompts:N", sort=list(PROMPTS), scale=alt.Scale(paddingOuter=1)),
        "color": alt.Color("prompts:N", scale=_COLOUR),
    }
    line = canvas.chart(records, "value").mark_line(opacity=0.4, strokeWidth=1.5).encode(y=along("value"), **across)
    layers = [line, *_marks(canvas, records, along, across, "y")]
    return canvas.draw(alt.layer(*layers).properties(width=max(300, 90 * len(labels)), height=260))

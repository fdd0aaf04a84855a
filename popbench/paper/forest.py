"""Draws the intervals of many win rates as SVG, without a charting library, so that every machine gives the same bytes.

Charting libraries measure text with the machine's fonts, and a published board must not change with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

ROW, HEAD, TOP, BOTTOM = 19, 34, 46, 30
LEFT, PLOT, RIGHT = 372, 440, 24
LOW, HIGH = 15, 85
ACCENT, OPEN = "#2f81f7", "#8b949e"
_HOLLOW = 'fill="none" stroke="currentColor" stroke-width="1.5"'


@dataclass(frozen=True)
class ForestLine:
    """One win rate in percent: its interval alone, its interval among all of its group, and a second reading."""

    label: str
    value: float
    interval: tuple[float, float]
    simultaneous: tuple[float, float]
    decided: bool
    other: float | None = None


def forest(groups: Sequence[tuple[str, Sequence[ForestLine]]], description: str) -> str:
    """Draw groups of win rates below each other, against 50 %, in `currentColor` without a background."""
    height = TOP + sum(HEAD + ROW * len(lines) for _, lines in groups) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + PLOT + RIGHT}" height="{height}" '
        f'viewBox="0 0 {LEFT + PLOT + RIGHT} {height}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(description)}</title>",
        *_legend(),
        *_axis(height),
    ]
    y = TOP
    for name, lines in groups:
        parts.append(_text(0, y + 22, name, ' font-weight="600" font-size="13"'))
        y += HEAD
        for line in lines:
            parts += _line(line, y + ROW / 2)
            y += ROW
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(percent: float) -> float:
    return round(LEFT + PLOT * (min(max(percent, LOW), HIGH) - LOW) / (HIGH - LOW), 2)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="currentColor"{more}>{escape(text)}</text>'


def _rule(x: float, x2: float, y: float, colour: str, width: float) -> str:
    return f'<line x1="{x:g}" x2="{x2:g}" y1="{y:g}" y2="{y:g}" stroke="{colour}" stroke-width="{width:g}"/>'


def _legend() -> Iterator[str]:
    y = 14
    for x, colour, what in ((0, ACCENT, "decided alone"), (140, OPEN, "undecided")):
        yield _rule(x, x + 26, y - 4, colour, 4)
        yield f'<circle cx="{x + 13}" cy="{y - 4}" r="4.5" fill="{colour}"/>'
        yield _text(x + 34, y, what)
    yield _rule(256, 282, y - 4, OPEN, 1)
    yield _text(290, y, "among all of its table (Bonferroni)")
    yield f'<circle cx="545" cy="{y - 4}" r="4.5" {_HOLLOW}/>'
    yield _text(558, y, "as the other direction has it")


def _axis(height: float) -> Iterator[str]:
    for tick in range(LOW + 5, HIGH, 10):
        x, half = _x(tick), tick == 50
        dash = "" if half else ' stroke-dasharray="2 3"'
        yield (
            f'<line x1="{x:g}" x2="{x:g}" y1="{TOP - 10}" y2="{height - BOTTOM + 4}" stroke="{OPEN}" '
            f'stroke-width="{1.5 if half else 0.6}"{dash}/>'
        )
        for y in (TOP - 14, height - BOTTOM + 18):
            yield _text(x, y, f"{tick} %", ' text-anchor="middle" font-size="11"')


def _line(line: ForestLine, y: float) -> Iterator[str]:
    colour = ACCENT if line.decided else OPEN
    (low, high), (lowest, highest) = line.interval, line.simultaneous
    yield _text(10, y + 4, line.label)
    yield _text(LEFT - 14, y + 4, f"{line.value:g}", ' text-anchor="end"')
    yield "<g>"
    yield f"<title>{line.value:g} % [{low:.1f}, {high:.1f}], among all [{lowest:.1f}, {highest:.1f}]</title>"
    yield _rule(_x(lowest), _x(highest), y, colour, 1)
    yield _rule(_x(low), _x(high), y, colour, 4)
    yield f'<circle cx="{_x(line.value):g}" cy="{y:g}" r="4.5" fill="{colour}"/>'
    if line.other is not None:
        yield f'<circle cx="{_x(line.other):g}" cy="{y:g}" r="4.5" {_HOLLOW}/>'
    yield "</g>"

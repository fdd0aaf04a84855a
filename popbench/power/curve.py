"""Draws power over the number of prompts as SVG, a line for each number of repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from popbench.power.study import Study
from popbench.text import counted

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 380, 56, 40, 110, 50
COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#a371f7")
_SOFT = 'fill="currentColor" opacity="0.75"'


def curve(study: Study) -> str:
    """Return the picture, in `currentColor` on no background, with the wanted power and the prompts that there are."""
    most = max(prompts for points in study.curves.values() for prompts, _ in points)

    def x(prompts: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * prompts / most, 1)

    title = f"Power to decide a win rate of {100 * study.effect:g} % among {counted(study.n_pairs, 'pair')}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="20" fill="currentColor" font-size="14" font-weight="600">{escape(title)}</text>',
    ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(_line(LEFT, _y(share), WIDTH - RIGHT, _y(share), 'stroke="currentColor" opacity="0.15"'))
        parts.append(f'<text x="{LEFT - 8}" y="{_y(share) + 4}" text-anchor="end" {_SOFT}>{100 * share:.0f} %</text>')
    step = next(step for power in range(6) for step in (10**power, 2 * 10**power, 5 * 10**power) if most / step <= 6)
    parts += [
        f'<text x="{x(prompts)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" {_SOFT}>{prompts}</text>'
        for prompts in range(0, most + 1, step)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle" fill="currentColor">prompts</text>')
    parts.append(_line(LEFT, _y(study.wanted), WIDTH - RIGHT, _y(study.wanted), _dashed("currentColor")))
    here = x(study.available.prompts)
    parts.append(_line(here, TOP, here, HEIGHT - BOTTOM, _dashed("currentColor")))
    told = f"all {study.available.prompts:,} there are"
    parts.append(f'<text x="{here - 6}" y="{HEIGHT - BOTTOM - 8}" text-anchor="end" {_SOFT}>{told}</text>')
    parts += _curves(study, x)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _curves(study: Study, x: Callable[[float], float]) -> Iterator[str]:
    """Draw the lines, each named at its right end; names are kept apart."""
    heights: dict[int, float] = {}
    for end, repeats in sorted((_y(points[-1][1]), repeats) for repeats, points in study.curves.items()):
        heights[repeats] = max(end, max(heights.values(), default=0.0) + 15)
    for (repeats, points), colour in zip(study.curves.items(), COLOURS * len(study.curves), strict=False):
        line = " ".join(f"{x(prompts)},{_y(power)}" for prompts, power in points)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        name = counted(repeats, "repeat")
        yield f'<text x="{WIDTH - RIGHT + 8}" y="{heights[repeats] + 4:g}" fill="{colour}">{name}</text>'


def _y(share: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 1)


def _line(x: float, y: float, x2: float, y2: float, look: str) -> str:
    return f'<line x1="{x:g}" y1="{y:g}" x2="{x2:g}" y2="{y2:g}" {look}/>'


def _dashed(colour: str) -> str:
    return f'stroke="{colour}" opacity="0.5" stroke-dasharray="4 4"'

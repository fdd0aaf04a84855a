"""How a run shows itself in a notebook: its systems, and the clips of one prompt side by side."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from popbench.records import Sample
from popbench.text import counted, visible

_SYSTEMS, _CLIPS = 20, 4
_CLIP_BYTES = 2_000_000
"""Larger clips are not put into a page."""


def run_html(path: Path, summary: str, results: Mapping[str, Any] | None, samples: Iterator[Sample]) -> str:
    """Return HTML with a run's state, its systems in the order of the board, and clips of its first prompt."""
    parts = [f"<p><b>{_text(str(path))}</b>: {_text(summary)}</p>"]
    if results is not None:
        parts.append(_table(results))
    parts.append(_clips(path, samples))
    return "<div>" + "".join(parts) + "</div>"


def _text(value: str) -> str:
    return escape(visible(value))


def _table(results: Mapping[str, Any]) -> str:
    """Return the systems of the first table, by rank: mean win rate and median, with 95 % intervals."""
    rows = results["systems"]
    first = [row for row in rows if (row["task"], row["predictor"]) == (rows[0]["task"], rows[0]["predictor"])]
    first.sort(key=lambda row: (row["rank"]["value"] if row["rank"] else 0, -(row["mean_win_rate"] or 0)))
    cells = ["<tr><th>system</th><th>mean win rate, %</th><th>median</th><th>n</th><th>invalid</th></tr>"]
    for row in first[:_SYSTEMS]:
        win_rate = _interval(row["mean_win_rate"], row["mean_win_rate_interval"], 100)
        median = _interval(row["median"]["value"], (row["median"]["low"], row["median"]["high"]))
        if row["median"]["value"] is None:  # on a real scale, if most samples are invalid
            median = "invalid"
        values = (_text(row["system"]), win_rate, median, row["n"], row["invalid"])
        cells.append("<tr>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>")
    more = f"<p>and {counted(len(first) - _SYSTEMS, 'system')} more</p>" if len(first) > _SYSTEMS else ""
    return f"<p>{_text(rows[0]['task'])}</p><table>{''.join(cells)}</table>{more}"


def _interval(value: float | None, ends: Sequence[float | None] | None, scale: float = 1) -> str:
    """Return a number with its interval; `?` for none."""
    if value is None:
        return "?"
    low, high = ends or (None, None)
    shown = "" if low is None or high is None else f" [{low * scale:.3g}, {high * scale:.3g}]"
    return f"{value * scale:.3g}{shown}"


def _clips(path: Path, samples: Iterator[Sample]) -> str:
    figures = [
        f'<figure style="display:inline-block;margin:4px;max-width:240px">{clip}'
        f"<figcaption>{_text(sample.system)}<br>{_text(sample.title or '')}</figcaption></figure>"
        for sample, clip in islice(_of_one_prompt(path, samples), _CLIPS)
    ]
    return "".join(figures)


def _of_one_prompt(path: Path, samples: Iterator[Sample]) -> Iterator[tuple[Sample, str]]:
    """Yield the samples of the first prompt that has a clip, one for each system, with their clips as HTML."""
    prompt, seen = None, set[str]()
    for sample in samples:
        of = sample.task, sample.prompt_id
        if sample.video is None or sample.system in seen or prompt not in (None, of):
            continue
        file = path / "videos" / Path(sample.video).name
        if not file.is_file() or file.is_symlink() or file.stat().st_size > _CLIP_BYTES:
            continue
        prompt = of
        seen.add(sample.system)
        data = base64.b64encode(file.read_bytes()).decode("ascii")
        yield sample, f'<video controls muted loop width="240" src="data:video/mp4;base64,{data}"></video>'

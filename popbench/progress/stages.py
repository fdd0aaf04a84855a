"""Shows the stages of a run as a table or in words, for the run itself and for `popbench status`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from popbench.text import dollars

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 100
"""Terminals of at least so many columns have long bars."""
_NAME = 12


@dataclass(frozen=True, slots=True)
class Row:
    """The state of a stage, in items, items per second and seconds; None if unknown."""

    name: str
    done: int
    total: int
    over: bool = False
    rate: float | None = None
    mean: float | None = None
    """The rate since the run was started, if it is shown beside that of the last minutes."""
    left: float | None = None
    took: float | None = None
    workers: int = 0
    gpu_seconds: float = 0.0
    usd: float | None = None
    unpriced: bool = False
    invalid: int = 0
    state: str = ""


def table(rows: Sequence[Row], width: int) -> Table:
    """Return a table of `width` columns with a line per stage; columns that are empty for all are left out."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    priced = any(row.usd for row in rows)
    columns: list[tuple[str, int, Callable[[Row], str]]] = [
        ("done", max((2 * len(str(row.total)) + 1 for row in rows), default=0), lambda row: f"{row.done}/{row.total}"),
        ("invalid", 0, lambda row: str(row.invalid or "")),
        ("rate", 9, lambda row: "" if row.rate is None else speed(row.rate)),
        ("mean", 9, lambda row: "" if row.mean is None else speed(row.mean)),
        ("left", 10, _time),
        ("workers", 0, lambda row: str(row.workers) if row.workers > 1 else ""),
        ("GPU-h", 6, lambda row: hours(row.gpu_seconds) if row.gpu_seconds else ""),
        ("USD", 6, lambda row: dollars(row.usd) if row.usd else "unknown" if row.unpriced and priced else ""),
        ("state", 0, lambda row: row.state),
    ]
    cells = {name: [show(row) for row in rows] for name, _, show in columns}
    # With minimum widths, columns keep their places while numbers grow.
    widths = {name: max(least, len(name), *map(len, cells[name])) for name, least, _ in columns if any(cells[name])}
    room = width - sum(1 + taken for taken in widths.values())
    bar = 20 if width >= WIDE else 8 if room > 8 + _NAME else 0
    room = max(room - bar - 1, _NAME)
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    made.add_column("", no_wrap=True)
    made.add_column("", no_wrap=True, width=bar)
    for name, taken in widths.items():
        made.add_column(name, justify="right", no_wrap=True, width=taken)
    for number, row in enumerate(rows):
        begun = ProgressBar(max(row.total, 1), row.done if row.total else 1, width=bar)
        made.add_row(Text(shortened(row.name, room)), begun, *(Text(cells[name][number]) for name in widths))
    return made


def _time(row: Row) -> str:
    if row.over or row.done >= row.total:
        return "" if row.took is None else f"in {duration(row.took)}"
    return "" if row.left is None else duration(row.left)


def time_left(done: int, total: int, rate: float | None) -> float | None:
    """Return the seconds that the remaining items take at a rate; None if it is unknown."""
    return 0.0 if done >= total else (total - done) / rate if rate else None


def shortened(name: str, room: int) -> str:
    """Cut the middle out of a name to fit it into `room` columns: labels differ at their ends."""
    from rich.cells import cell_len

    if cell_len(name) <= room:
        return name
    head = tail = ""
    for first, last in zip(name, reversed(name), strict=True):
        if cell_len(f"{head}{first}…{tail}") > room:
            break
        head += first
        if cell_len(f"{head}…{last}{tail}") > room:
            break
        tail = last + tail
    return f"{head}…{tail}"


def words(row: Row) -> str:
    """Return a stage in words: `write tiny: 6/10, 12.0/min, 0:00:20 left`."""
    parts = [f"{row.name}: {row.done}/{row.total}"]
    if row.rate:
        parts.append(speed(row.rate))
    if row.left:
        parts.append(f"{duration(row.left)} left")
    elif row.took is not None:
        parts.append(f"{duration(row.took)} gone")
    if row.workers > 1 and not row.over:
        parts.append(f"{row.workers} workers")
    return ", ".join(parts)


def totals(rows: Sequence[Row], gone: float | None = None) -> str:
    """Return all stages in words: `0:12:04 gone, 0:40:00 left, 3.2 GPU-hours, $0.53`; left is that of the slowest."""
    left = [row.left for row in rows]
    estimates = [seconds for seconds in left if seconds is not None]
    parts = [] if gone is None else [f"{duration(gone)} gone"]
    if len(estimates) == len(left) and any(estimates):
        parts.append(f"{duration(max(estimates))} left")
    return ", ".join([*parts, *filter(None, [spending(rows)])])


def spending(rows: Sequence[Row]) -> str:
    """Return the GPU time and costs of all stages, `3.2 GPU-hours, $0.53`; empty if there are none."""
    gpu_seconds, usd = sum(row.gpu_seconds for row in rows), sum(row.usd or 0.0 for row in rows)
    parts = [f"{hours(gpu_seconds)} GPU-hours"] if gpu_seconds else []
    return ", ".join([*parts, *([dollars(usd)] if usd else [])])


def speed(rate: float) -> str:
    """Return items per second in the first of the units s, min and h in which they are at least 1."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"


def duration(seconds: float) -> str:
    """Return seconds as `0:01:40` or `136:00:00`."""
    if seconds > 1e9:
        return "for ever"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def hours(seconds: float) -> str:
    """Return seconds in hours, with fewer decimals for larger numbers."""
    number = seconds / 3600
    if number < 0.01:
        return "<0.01"
    return f"{number:,.{0 if number >= 100 else 1 if number >= 1 else 2}f}"

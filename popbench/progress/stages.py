"""How the stages of a run are shown, while it is at work and by `popbench status`: in a table, or in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from popbench.text import dollars

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 100
"""Columns of a terminal from which on bars are long."""
_NAME = 12


@dataclass(frozen=True, slots=True)
class Row:
    """A stage as it stands: items, items a second, and seconds; None for what is not known."""

    name: str
    done: int
    total: int
    over: bool = False
    rate: float | None = None
    mean: float | None = None
    """The rate since the run was started, where it is told beside that of the last minutes."""
    left: float | None = None
    took: float | None = None
    workers: int = 0
    gpu_seconds: float = 0.0
    usd: float | None = None
    invalid: int = 0
    state: str = ""


def table(rows: Sequence[Row], width: int) -> Table:
    """Lay stages out in `width` columns, one line each; what none of them has is left out."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    columns: list[tuple[str, int, Callable[[Row], str]]] = [
        ("done", max((2 * len(str(row.total)) + 1 for row in rows), default=0), lambda row: f"{row.done}/{row.total}"),
        ("invalid", 0, lambda row: str(row.invalid or "")),
        ("rate", 9, lambda row: "" if row.rate is None else speed(row.rate)),
        ("mean", 9, lambda row: "" if row.mean is None else speed(row.mean)),
        ("left", 10, _time),
        ("workers", 0, lambda row: str(row.workers) if row.workers > 1 else ""),
        ("GPU-h", 6, lambda row: hours(row.gpu_seconds) if row.gpu_seconds else ""),
        ("USD", 6, lambda row: dollars(row.usd) if row.usd else ""),
        ("state", 0, lambda row: row.state),
    ]
    cells = {name: [show(row) for row in rows] for name, _, show in columns}
    # Least widths keep columns in their places while numbers grow.
    widths = {name: max(least, len(name), *map(len, cells[name])) for name, least, _ in columns if any(cells[name])}
    room = width - sum(1 + taken for taken in widths.values())
    bar = 20 if width >= WIDE else 8 if room > 8 + _NAME else 0
    room = max(room - bar - 1, _NAME)
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    made.add_column("", no_wrap=True)
    made.add_column("", no_wrap=True, width=bar)
    for name, taken in widths.items():
        made.add_column(name, justify="right", no_wrap=True, width=taken)
    for at, row in enumerate(rows):
        begun = ProgressBar(max(row.total, 1), row.done if row.total else 1, width=bar)
        made.add_row(Text(shortened(row.name, room)), begun, *(Text(cells[name][at]) for name in widths))
    return made


def _time(row: Row) -> str:
    if row.over or row.done >= row.total:
        return "" if row.took is None else f"in {duration(row.took)}"
    return "" if row.left is None else duration(row.left)


def time_left(done: int, total: int, rate: float | None) -> float | None:
    """Return the seconds that the rest takes at a rate; None where that is not known."""
    return 0.0 if done >= total else (total - done) / rate if rate else None


def shortened(name: str, room: int) -> str:
    """Cut a name to `room` columns in its middle: labels differ at their ends."""
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
    """Tell of a stage in words: `write tiny: 6/10, 12.0/min, 0:00:20 left`."""
    told = [f"{row.name}: {row.done}/{row.total}"]
    if row.rate:
        told.append(speed(row.rate))
    if row.left:
        told.append(f"{duration(row.left)} left")
    elif row.took is not None:
        told.append(f"{duration(row.took)} gone")
    if row.workers > 1 and not row.over:
        told.append(f"{row.workers} workers")
    return ", ".join(told)


def totals(rows: Sequence[Row], gone: float | None = None) -> str:
    """Tell of all stages together: `0:12:04 gone, 0:40:00 left, 3.2 GPU-hours, $0.53`; the slowest is what is left."""
    left = [row.left for row in rows]
    known = [seconds for seconds in left if seconds is not None]
    told = [] if gone is None else [f"{duration(gone)} gone"]
    if len(known) == len(left) and any(known):
        told.append(f"{duration(max(known))} left")
    return ", ".join([*told, *filter(None, [spending(rows)])])


def spending(rows: Sequence[Row]) -> str:
    """Tell what stages have taken together, where that is known: `3.2 GPU-hours, $0.53`."""
    gpu_seconds, usd = sum(row.gpu_seconds for row in rows), sum(row.usd or 0.0 for row in rows)
    told = [f"{hours(gpu_seconds)} GPU-hours"] if gpu_seconds else []
    return ", ".join([*told, *([dollars(usd)] if usd else [])])


def speed(rate: float) -> str:
    """Write items a second out, in the unit in which they are no fraction."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"


def duration(seconds: float) -> str:
    """Write seconds out, as in `0:01:40` and `136:00:00`."""
    if seconds > 1e9:
        return "for ever"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def hours(seconds: float) -> str:
    """Write seconds out in hours, shortly."""
    found = seconds / 3600
    if found < 0.01:
        return "<0.01"
    return f"{found:,.{0 if found >= 100 else 1 if found >= 1 else 2}f}"

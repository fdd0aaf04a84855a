"""What a run tells while it works, and how that is shown on a terminal. Public: plugins take and make a `Progress`.

`base` is the interface, which says nothing by itself; `live` shows it, with `stages` for its tables; `console` writes
texts of others so that they cannot steer the terminal. Nothing here knows what the work is.
"""

from __future__ import annotations

from popbench.progress.base import Progress

__all__ = ["Progress", "make_progress"]


def make_progress() -> Progress:
    """Make one that shows itself on standard error: bars where that is a terminal, plain lines where it is none."""
    from popbench.progress import live

    return live.make_progress()

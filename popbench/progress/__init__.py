"""The progress of work, and its display on a terminal. Public: plugins take and make a `Progress`.

Takes counts per stage; hands on text. `base` is the interface, which by itself shows nothing; `live` shows progress,
with tables of `stages`; `console` prints texts of others so that they cannot steer the terminal.
"""

from __future__ import annotations

from popbench.progress.base import Progress

__all__ = ["Progress", "make_progress"]


def make_progress() -> Progress:
    """Make a `Progress` that is shown on standard error: as bars on a terminal, else as plain lines."""
    from popbench.progress import live

    return live.make_progress()

"""The progress of work, and its display on a terminal. Public: plugins take and make a `Progress`.

Takes counts per stage; hands on text. `base` is the interface, which by itself shows nothing; `live` shows progress,
with tables of `stages`; `console` prints texts of others so that they cannot steer the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from popbench.progress.base import Progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Progress", "make_console", "make_progress"]


def make_progress() -> Progress:
    """Make a `Progress` that is shown on standard error: as bars on a terminal, else as plain lines."""
    from popbench.progress import live

    return live.make_progress()


def make_console(*, stderr: bool = False) -> Console:
    """Make a console of rich for a command's output: texts are printed as they are, and cannot steer the terminal."""
    from popbench.progress import console

    return console.make_console(stderr=stderr)

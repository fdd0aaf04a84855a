"""Prints to the terminal texts of others, such as titles, labels and file names, so that they cannot steer it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from popbench.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


def tell(line: str, *, err: bool = False) -> None:
    """Print a line, with control characters shown as escape codes."""
    click.echo(visible(line), err=err)


def make_console(*, stderr: bool = False) -> Console:
    """Make a console of rich that prints texts as `tell` does; its own styles and cursor movements work."""
    from rich.console import Console
    from rich.segment import Segment

    class Visible(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                safe = segment.control or segment.text.isprintable()
                yield segment if safe else Segment(visible(segment.text), segment.style)

    return Visible(stderr=stderr, emoji=False)  # a name such as a:x:b stays as it is

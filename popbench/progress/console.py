"""Writing to the terminal: titles, labels and names of files are other people's, and must not steer it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from popbench.text import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


def tell(line: str, *, err: bool = False) -> None:
    """Write a line as it is, but for characters that a terminal would obey."""
    click.echo(visible(line), err=err)


def make_console(*, stderr: bool = False) -> Console:
    """Make a console of rich's that writes texts as `tell` does; styles and movements of its own stay."""
    from rich.console import Console
    from rich.segment import Segment

    class Visible(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                told = segment.control or segment.text.isprintable()
                yield segment if told else Segment(visible(segment.text), segment.style)

    return Visible(stderr=stderr)

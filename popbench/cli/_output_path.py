"""The type of options and arguments that name where something is written."""

from __future__ import annotations

from typing import Any

import click

from popbench.files import refuse_url


class OutputPath(click.Path):
    """A path on this machine to write to; a URL is refused, of which a folder would be made."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raises UsageError for a URL."""
        if isinstance(value, str):
            named = "path" if param is None else param.metavar if isinstance(param, click.Argument) else param.opts[0]
            refuse_url(named or "path", value)
        return super().convert(value, param, ctx)

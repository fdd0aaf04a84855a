"""The type of options that name where something is written."""

from __future__ import annotations

from typing import Any

import click

from popbench.files import refuse_url


class OutputPath(click.Path):
    """A path on this machine to write to; a URL is refused, of which a folder would be made."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; raises UsageError for a URL."""
        if isinstance(value, str):
            refuse_url(param.opts[0] if param is not None else "path", value)
        return super().convert(value, param, ctx)

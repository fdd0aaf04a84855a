"""What a shell completes: names of installed components."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(kind: str) -> Complete:
    """Return a function that completes the name of a component of this kind, up to its options."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
        from popbench.registry import load_registry

        return [CompletionItem(name) for name in load_registry().names(kind) if name.startswith(incomplete)]

    return complete

"""What a shell completes: names of installed components, modes and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(kind: str) -> Complete:
    """Return a function that completes the name of a component of this kind, up to its options.

    A mode or a task can be a file, too: files are completed where no name begins so.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
        found = [CompletionItem(name) for name in sorted(set(_names(kind))) if name.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="file")] if kind in ("mode", "task") else [])

    return complete


def _names(kind: str) -> Iterable[str]:
    from popbench.registry import load_registry
    from popbench.tasks.loading import registered_names, registered_tasks

    if kind == "task":
        return registered_names()
    names = load_registry().names(kind)
    if kind == "mode":  # a template of a task is a mode of its name
        names += [mode for listed in registered_tasks() if listed.file is not None for mode in listed.file.templates]
    return names

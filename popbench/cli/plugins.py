"""`popbench plugins`: lists what is installed, and what is broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import click

from popbench.progress.console import make_console, tell

if TYPE_CHECKING:
    from rich.text import Text

    from popbench.records import JSON
    from popbench.registry import Registration


_LEAST = 20
"""Characters of what a component is that are shown on the narrowest terminal."""


@click.command("plugins")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(name: str | None, as_json: bool) -> int:
    """List what is installed: models, generators, predictors, and what is broken.

    Components of other distributions than popbench have theirs in brackets. With the NAME of a component, list its
    options; --json has the lines that do not fit here whole. Exit status 1 where a plugin is broken or two of them
    claim one name.

    \b
    Examples:
      popbench plugins
      popbench plugins kinetic
    """
    from popbench.registry import load_registry

    registry = load_registry()
    if name is not None:
        return _show_options(name, list(registry), as_json=as_json)
    conflicts = registry.conflicts()
    broken = [plugin for plugin in registry.plugins if plugin.error]
    unusable = [item.error for item in registry if item.error]
    status = 1 if broken or conflicts or unusable else 0
    if as_json:
        click.echo(
            json.dumps(
                {
                    "components": [_as_json(item) for item in registry],
                    "broken": {plugin.name: plugin.error for plugin in broken},
                    "conflicts": conflicts,
                }
            )
        )
        return status

    console = make_console()
    for number, (kind, items) in enumerate(groupby(registry, key=lambda item: item.kind)):
        if number:
            console.print()
        for shown in _listing(kind, list(items), console.width):
            console.print(shown, soft_wrap=True)
    for plugin in broken:
        tell(f"popbench: plugin {plugin.name} of {plugin.distribution} is broken: {plugin.error}", err=True)
    for line in (*unusable, *conflicts):
        tell(f"popbench: {line}", err=True)
    return status


def _listing(kind: str, items: list[Registration], width: int) -> Iterator[Text]:
    """Yield the components of a kind, one line each, cut where the terminal ends."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    alike = Counter(item.target for item in items)
    name_width = max(len(item.name) for item in items)
    yield Text(kind, "bold")
    for item in items:
        told, after = item.summary, ""
        if item.preset and alike[item.target] > 1 and told == item.docstring:  # only the preset tells them apart
            first, *more = [f"{key}={value}" for key, value in item.preset.items()]
            after = f" ({first} and {len(more)} more)" if more else f" ({first})"
        if item.plugin.distribution != "popbench":
            after += f" [{item.plugin.distribution} {item.plugin.version}]"
        line = Text(f" {item.name:{name_width}}  ")
        room = max(width - line.cell_len - len(after), _LEAST)
        line.append(told if cell_len(told) <= room else f"{set_cell_size(told, room - 1).rstrip(' .,;:')}…")
        line.append(after)
        yield line


def _as_json(item: Registration) -> dict[str, JSON]:
    from popbench.cli._options import options_of

    return {
        "kind": item.kind,
        "name": item.name,
        "distribution": item.plugin.distribution,
        "version": item.plugin.version,
        "preset": {key: str(value) for key, value in item.preset.items()},
        "summary": item.summary,
        "options": options_of(item),
    }


def _show_options(name: str, registrations: list[Registration], *, as_json: bool) -> int:
    """Print the options of all components with a name; several kinds may share it."""
    from popbench.errors import unknown

    named = [item for item in registrations if item.name == name]
    if not named:
        raise unknown("component", name, [item.name for item in registrations])
    unusable = [item.error for item in named if item.error]
    if as_json:
        click.echo(json.dumps({"components": [_as_json(item) for item in named]}))
    else:
        from popbench.cli._options import options_of, options_table

        console = make_console()
        for item in named:
            if not item.error:
                console.print(options_table(item))
        if any(option["runtime"] for item in named for option in options_of(item)):
            console.print("* results do not depend on it")
    for line in unusable:
        tell(f"popbench: {line}", err=True)
    return 1 if unusable else 0

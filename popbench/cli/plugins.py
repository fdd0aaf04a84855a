"""`popbench plugins`: what is installed, and what is broken."""

from __future__ import annotations

import json

import click


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(as_json: bool) -> int:
    """List what is installed: models, generators, predictors, and what is broken.

    Exit status 1 where a plugin is broken or two of them claim one name.
    """
    from popbench.registry import load_registry

    registry = load_registry()
    conflicts = registry.conflicts()
    broken = [plugin for plugin in registry.plugins if plugin.error]
    unusable = [item.error for item in registry if item.error]
    status = 1 if broken or conflicts or unusable else 0
    if as_json:
        click.echo(
            json.dumps(
                {
                    "components": [
                        {
                            "kind": item.kind,
                            "name": item.name,
                            "distribution": item.plugin.distribution,
                            "version": item.plugin.version,
                            "preset": {key: str(value) for key, value in item.preset.items()},
                            "summary": item.summary,
                        }
                        for item in registry
                    ],
                    "broken": {plugin.name: plugin.error for plugin in broken},
                    "conflicts": conflicts,
                }
            )
        )
        return status

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table()
    for column in ("kind", "name", "from", "what it is"):
        table.add_column(column, overflow="fold")
    for item in registry:
        preset = ", ".join(f"{key}={value}" for key, value in item.preset.items())
        summary = item.summary + (f" ({preset})" if preset else "")
        table.add_row(
            item.kind,
            Text(item.name),
            Text(f"{item.plugin.distribution} {item.plugin.version}"),
            Text(summary),
        )
    console.print(table)
    for plugin in broken:
        click.echo(f"popbench: plugin {plugin.name} of {plugin.distribution} is broken: {plugin.error}", err=True)
    for line in (*unusable, *conflicts):
        click.echo(f"popbench: {line}", err=True)
    return status

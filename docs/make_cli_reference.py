"""Write docs/reference/cli.md from the commands themselves; a test checks that it is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from popbench.cli import BUILT_IN, cli

TARGET = Path(__file__).parent / "reference/cli.md"
WIDTH = 100


def render() -> str:
    """Return the reference as markdown: the help of every command, as `--help` prints it."""
    lines = ["# Command line", "", "Made from the commands by `make docs`.", ""]
    root = click.Context(
        cli, info_name="popbench", max_content_width=WIDTH, terminal_width=WIDTH, **cli.context_settings
    )
    commands = "\n".join(f"  {name:<13}{summary}" for name, summary in BUILT_IN.items())
    lines += ["```text", f"popbench COMMAND\n\n{commands}", "```", ""]
    for name in BUILT_IN:
        command = cli.get_command(root, name)
        assert command is not None
        lines += _of(command, root, name)
    return "\n".join(lines).rstrip() + "\n"


def _of(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, parent=parent, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH)
    yield f"## {context.command_path}"
    yield ""
    yield "```text"
    yield from (line.rstrip() for line in command.get_help(context).splitlines())
    yield "```"
    yield ""
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _of(found, context, child)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")

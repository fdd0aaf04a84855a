"""The command line. Each command is a module that is imported when it is used; `--help` imports none of them.

Commands of other distributions come in through the entry-point group `popbench.commands` (name -> click command).
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from popbench import __version__
from popbench.errors import PopbenchError, UsageError, one_line, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "popbench.commands"
BUILT_IN = {
    "eval": "Write, render and score videos for prompts, and rank the systems.",
    "plugins": "List what is installed: models, generators, predictors, and what is broken.",
    "task": "List, show and validate prompt sets.",
    "corpus": "Embed a corpus of videos, and see what a prompt retrieves from it.",
    "leaderboard": "Build boards from runs and from bare scores.",
    "doctor": "Check this machine: versions, devices, keys, plugins.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the built-in commands in their order, then those of plugins."""
        return [*BUILT_IN, *sorted(name for name in _others() if name not in BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name in BUILT_IN:
            command = import_module(f"popbench.cli.{cmd_name}").command
        elif cmd_name in (others := _others()):
            try:
                command = others[cmd_name].load()
            except Exception as error:  # a plugin's import may raise anything
                raise UsageError(f"command {cmd_name!r} does not load: {one_line(error)}") from error
        else:
            return None
        if not isinstance(command, click.Command):
            raise UsageError(f"command {cmd_name!r} is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; raises UsageError that lists the commands there are."""
        if args[0] not in BUILT_IN and args[0] not in (others := _others()):
            raise unknown("command", args[0], [*BUILT_IN, *others])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries without importing any."""
        others = _others()
        rows = [(name, BUILT_IN.get(name) or f"From {_owner(others[name])}.") for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _others() -> dict[str, EntryPoint]:
    """Find the commands of other distributions.

    Importing importlib.metadata takes as long as all of click, so it is only done where some installed
    distribution mentions the group.
    """
    if not any(map(_mentions_group, sys.path)):
        return {}
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _mentions_group(folder: str) -> bool:
    for file in Path(folder or ".").glob("*-info/entry_points.txt"):
        try:
            if GROUP.encode() in file.read_bytes():
                return True
        except OSError:
            continue
    return False


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="popbench")
def cli() -> None:
    """Find out which language model, prompt and video generator make the most popular micro-videos.

    Start with `popbench eval`: with no options it runs the embedded defaults, offline, on a CPU.
    """


def main() -> None:
    """Run the command line; every error is one line and an exit status (0, 1, 2 or 130)."""
    try:
        status = cli(standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.message, err=True)
        status = 2
    except click.ClickException as error:
        status = _complain(error.format_message().replace("\n", " "), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        status = _complain("interrupted", 130)
    except UsageError as error:
        status = _complain(str(error), 2)
    except PopbenchError as error:
        status = _complain(str(error), 1)
    except UnicodeError as error:  # an argument that no file or database takes
        status = _complain(f"an argument is no valid text ({one_line(str(error))})", 2)
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def console() -> None:
    """Run the command line as a process of its own, which ends even where a plugin's thread does not.

    A thread that a component left hanging in native code would otherwise crash the interpreter on its way out.
    """
    import os
    import threading

    status: object = 0
    try:
        main()
    except SystemExit as error:
        status = error.code
    if any(thread.name.startswith("popbench-") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
    sys.exit(status if isinstance(status, int) else 1)


def _complain(message: str, status: int) -> int:
    for line in message.splitlines():
        click.echo(f"popbench: {line}", err=True)
    return status

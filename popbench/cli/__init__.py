"""The command line. Each command is a module that is imported when it is used; `--help` imports none of them.

Takes arguments; hands them on to the wings below, and on the terminal what comes of them. Nothing is computed here.
Commands of other distributions come in through entry-point groups (name -> click command): `popbench.commands`, and
`popbench.predictor_commands` for those of `popbench predictor`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popbench.cli._process import Interruptions, discard, open_streams, out_of_memory
from popbench.errors import PopbenchError, UsageError, one_line, unknown
from popbench.text import visible
from popbench.versions import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "popbench.commands"
BUILT_IN = {
    "init": "Write a commented popbench.toml into this folder, from options or questions.",
    "eval": "Write, render and score videos for prompts, and rank the systems.",
    "best": "Make several drafts and clips of one idea, and choose the best.",
    "optimize": "Search for a better prompt, and prove on unseen prompts that it is one.",
    "plan": "How many prompts and repeats does a study need, and what do they cost?",
    "merge": "Join the shards of a run, made by eval --shard, into the whole run.",
    "status": "How far is a run? What is done, how fast it goes, what it took, while it is at work or after.",
    "view": "Look at all runs and boards of a folder in a browser, live while runs are at work.",
    "plugins": "List what is installed: models, generators, predictors, and what is broken.",
    "task": "List, show and validate prompt sets.",
    "corpus": "Embed a corpus of videos, and see what a prompt retrieves from it.",
    "leaderboard": "Build boards from runs and from bare scores.",
    "compare": "Did a change help? The paired differences of the systems that two runs share.",
    "export": "Write a run's scores for other tools: Every Eval Ever, Parquet, JSONL.",
    "track": "Hand a finished run over to an experiment tracker: MLflow, Weights & Biases, Trackio.",
    "ballot": "Ask people which clips they would rather watch: a blind vote as one page.",
    "labels": "Take real outcomes of clips that were posted, such as views.",
    "report": "Make a page of a run: its results, and a gallery of its clips.",
    "predictor": "Train and import popularity predictors, and audit what moves their scores.",
    "doctor": "Check this machine: versions, devices, keys, plugins.",
}


_NEXT_STEPS = """\
popbench finds out which language model, prompt and video generator make the most popular micro-videos.

1. See it work, with no key, no GPU and no network, in a few seconds:
     popbench eval --limit 20
2. Choose your models, and see what they lack on this machine:
     popbench plugins
     popbench doctor --for "eval --llm deepseek-r1 --gen ltx"
3. Keep your choice in a file of this folder, see what a run would do and cost, and run it:
     popbench init --llm deepseek-r1 --gen ltx
     popbench eval --dry-run
     popbench eval

popbench --help lists all commands."""


_LONGEST = 4000
"""The longest error message, in characters: names in it may be of any length."""


class LazyGroup(click.Group):
    """A group that has its commands' names and summaries, and imports a command when it is called.

    `built_in` maps the names of its own commands to their summaries; each is `command` in the module that `modules`
    and its name make. Others come from the entry-point group `entry_points`. Their summaries are in their modules:
    `summarise` imports these for the group's help, which is right for a group that few would ask for help, and whose
    commands are cheap to import.
    """

    def __init__(
        self,
        *args: Any,
        built_in: Mapping[str, str],
        modules: str,
        entry_points: str,
        summarise: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._built_in = built_in
        self._modules = modules
        self._entry_points = entry_points
        self._summarise = summarise

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the built-in commands in their order, then those of plugins."""
        return [*self._built_in, *sorted(name for name in self._others() if name not in self._built_in)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command by its name."""
        if cmd_name in self._built_in:
            command = import_module(self._modules + cmd_name).command
        elif cmd_name in (others := self._others()):
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
        """Find the command that is called; raises UsageError with the possible ones."""
        if args[0] not in self._built_in and args[0] not in (others := self._others()):
            raise unknown("command", args[0], [*self._built_in, *others])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries; plugins' commands are imported only if the group summarises them."""
        others = self._others()
        rows = [
            (name, self._built_in.get(name) or self._summary(ctx, others[name])) for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, entry: EntryPoint) -> str:
        """Return the summary of a plugin's command, or its distribution if it has none or cannot be imported."""
        owner = entry.dist.name if entry.dist else entry.value
        if not self._summarise:
            return f"From {owner}."
        try:
            command = self.get_command(ctx, entry.name)
        except UsageError as error:
            return f"From {owner}: {error}"
        summary = command.get_short_help_str(limit=100) if command is not None else ""
        return summary or f"From {owner}."

    def _others(self) -> dict[str, EntryPoint]:
        """Find the commands of plugins.

        Importing importlib.metadata takes as long as all of click, so it is only done where some installed
        distribution has the group.
        """
        header = f"[{self._entry_points}]".encode()
        if not any(_has_line(folder, header) for folder in sys.path):
            return {}
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=self._entry_points)}


def _has_line(folder: str, line: bytes) -> bool:
    """Say whether a distribution in a folder has this line in its entry points."""
    for file in Path(folder or ".").glob("*-info/entry_points.txt"):
        try:
            if line in map(bytes.strip, file.read_bytes().splitlines()):
                return True
        except OSError:
            continue
    return False


@click.group(
    cls=LazyGroup,
    built_in=BUILT_IN,
    modules="popbench.cli.",
    entry_points=GROUP,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="popbench")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find out which language model, prompt and video generator make the most popular micro-videos.

    Start with `popbench eval`: with no options it runs the embedded defaults, offline, on a CPU.
    """
    if context.invoked_subcommand is None:
        click.echo(_NEXT_STEPS)


def main() -> None:
    """Run the command line; an error becomes one line. Returns the exit status: 0, 1, 2 or 130."""
    try:
        status = cli(standalone_mode=False)
        sys.stdout.flush()
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
    except UnicodeError as error:  # an argument with bytes that are not text
        status = _complain(f"an argument is no valid text ({one_line(str(error))})", 2)
    except BrokenPipeError:
        discard(sys.stdout)
        status = 1
    except OSError as error:  # errors of files have become popbench's own, but for paths that cannot be looked at
        if error.filename is not None:
            status = _complain(f"{one_line(str(error.filename), 200)}: cannot be used ({one_line(error)})", 2)
        else:
            discard(sys.stdout)
            status = _complain(f"output cannot be written ({one_line(error)})", 1)
    except (MemoryError, RuntimeError, ImportError) as error:
        if not out_of_memory(error):
            raise
        status = _complain(
            f"there is too little memory ({one_line(error)}); what is finished is kept, and the same command goes on "
            "where there is more (ulimit -v says what a process may take)",
            1,
        )
    sys.exit(status if isinstance(status, int) else 0)


def console() -> None:
    """Run the command line as a whole process, which ends even if a plugin's thread does not.

    A thread that a component left hanging in native code would otherwise crash the interpreter on its way out. The
    signals by which others end a process, such as Slurm at a time limit, are interruptions as that of the keyboard is.
    """
    import threading

    open_streams()
    interruptions = Interruptions()
    status: object = 0
    try:
        main()
    except SystemExit as error:
        status = interruptions.end() if error.code == 130 else error.code
    if any(thread.name.startswith("popbench-") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
    sys.exit(status if isinstance(status, int) else 1)


def _complain(message: str, status: int) -> int:
    try:
        for line in message.splitlines():
            click.echo(f"popbench: {visible(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + '…')}", err=True)
    except OSError:  # nobody reads it
        discard(sys.stderr)
    return status

"""Says what a command, given as text, would lack on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

import click

from popbench.cli import best, optimize
from popbench.cli import eval as evaluation
from popbench.errors import UsageError, one_line
from popbench.planning.plan import Plan
from popbench.runs.directory import run_path
from popbench.runs.preflight import count_work, missing

_COMMANDS: Mapping[str, tuple[click.Command, Callable[..., Plan]]] = {
    "eval": (evaluation.command, evaluation.planned),
    "best": (best.command, best.planned),
    "optimize": (optimize.command, optimize.planned),
}


def tell_lacks(text: str) -> int:
    """Print what each component of a command lacks; return 1 if there is anything.

    Raises UsageError for a text that is none of these commands, and as the command itself does.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--for: {text!r} is no command ({one_line(error)})") from error
    words = words[words[:1] == ["popbench"] :]
    if not words or words[0] not in _COMMANDS:
        example = '"eval --llm deepseek-r1 --gen ltx"'
        raise UsageError(f"--for: expected an eval, best or optimize command, such as {example}, not {text!r}")
    command, planned = _COMMANDS[words[0]]
    given = command.make_context(f"popbench {words[0]}", words[1:]).params
    plan = planned(**{name: value for name, value in given.items() if name not in ("dry_run", "as_json")})
    work = count_work(plan, run_path(plan))
    lacks = missing(plan, work)
    for line in lacks:
        click.echo(line)
    if not lacks:
        names = dict.fromkeys(f"{item.part.resolved.spec.kind} {item.part.label}" for item in work)
        click.echo(f"nothing is missing here for {', '.join(names)}")
    return 1 if lacks else 0

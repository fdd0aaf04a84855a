"""`popbench task`: lists, shows and validates prompt sets."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from popbench.cli._completion import names_of
from popbench.cli._shared_options import component
from popbench.progress.console import make_console, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from popbench.planning.plan import Plan
    from popbench.planning.systems import TaskMode
    from popbench.records import Prompt
    from popbench.tasks.task import Task


@click.group("task")
def command() -> None:
    """List, show and validate prompt sets."""


@command.command("list")
def list_() -> int:
    """List the tasks that are installed. Exit status 1 where a task file is broken."""
    from rich.table import Table
    from rich.text import Text

    from popbench.tasks.loading import registered_tasks

    listed = registered_tasks()
    table = Table()
    for column in ("task", "group", "version", "modes", "description"):
        table.add_column(column, overflow="fold")
    for item in listed:
        if item.file is not None:
            file = item.file
            table.add_row(
                Text(file.task),
                Text(file.group or "–"),
                Text(str(file.version)),
                Text(", ".join(file.templates)),
                Text(file.description),
            )
    make_console().print(table)
    broken = [item for item in listed if item.error]
    for item in broken:
        tell(f"popbench: {item.error}", err=True)
    return 1 if broken else 0


@command.command()
@click.argument("task", shell_complete=names_of("task"))
@click.option("--prompt", metavar="ID", help="Prompt to show.  [default: the first]")
@component("--mode", "mode", "Mode to show it in.", default="basic", show_default=True)
@component("--corpus", "corpus", "Where references come from.")
@component("--embedder", "embedder", "What finds references.")
def show(task: str, prompt: str | None, mode: str, corpus: str | None, embedder: str | None) -> int:
    """Print the exact messages an LLM gets for a prompt of TASK (a task, group, YAML file or folder)."""
    from popbench.errors import unknown

    plan = _plan(task, (mode,), corpus, embedder)
    by_id: dict[str, tuple[TaskMode, Prompt]] = {}
    for task_mode in plan.task_modes.values():
        for item in task_mode.task.prompts:
            by_id.setdefault(item.id, (task_mode, item))
    if prompt is not None and prompt not in by_id:
        raise unknown(f"prompt of task {task}", prompt, by_id)
    task_mode, chosen = by_id[prompt] if prompt is not None else next(iter(by_id.values()))
    write = tell if sys.stdout.isatty() else click.echo  # a file gets the messages unchanged
    turns = task_mode.mode.writer.turns
    first = f", the first of about {turns} calls" if turns > 1 else ""
    write(f"# {chosen.task}/{chosen.id}, category {chosen.category}, mode {task_mode.mode.label}{first}\n")
    if chosen.extra:
        write(f"extra: {json.dumps(chosen.extra, ensure_ascii=False)}\n")
    if fields := _fields(task_mode.task):
        write(f"asked for besides title and video_prompt: {fields}\n")
    for message in plan.shown(task_mode, chosen).messages:
        write(f"## {message['role']}\n\n{message['content']}\n")
    return 0


@command.command()
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...", shell_complete=names_of("task"))
@component("--corpus", "corpus", "Where references come from.")
@component("--embedder", "embedder", "What finds references.")
def validate(tasks: tuple[str, ...], corpus: str | None, embedder: str | None) -> int:
    """Load the data of each TASK, check it, and render every template on every prompt.

    Exit status 2 where a task cannot be used; repeated prompts are told and do not count as an error.
    """
    from popbench.planning.config import resolve_config
    from popbench.planning.resolve import make_plan
    from popbench.tasks.loading import load_tasks

    for task in load_tasks(tasks):
        # One plan per task, since a plan has only modes that all its tasks have.
        modes = tuple(task.file.templates)
        plan = make_plan(resolve_config({"mode": modes, "corpus": corpus, "embedder": embedder}), [task])
        if plan.uses_references:
            plan.retriever.prepare([prompt.text for prompt in task.prompts])
        for task_mode in plan.task_modes.values():
            for prompt in task.prompts:
                plan.shown(task_mode, prompt)
        counts = Counter(prompt.category for prompt in task.prompts)
        categories = ", ".join(f"{name} {count}" for name, count in counts.items())
        extra = f", extra columns {', '.join(task.file.fields.extra)}" if task.file.fields.extra else ""
        extra += f", draft fields {_fields(task)}" if task.file.draft.fields else ""
        modes_of = ", ".join(task.file.templates)
        tell(f"{task.name}: {len(task.prompts)} prompts ({categories}), modes {modes_of}{extra}: ok")
        for line in _unnamed(plan):
            tell(line)
        texts = Counter(" ".join(prompt.text.casefold().split()) for prompt in task.prompts)
        for text, count in texts.items():
            if count > 1:
                click.echo(f"{task.name}: {count} prompts read {text[:60]!r}")
    return 0


def _fields(task: Task) -> str:
    """Return the further fields of a task's drafts with their types."""
    return ", ".join(f"{name} ({of.type})" for name, of in task.file.draft.fields.items())


def _unnamed(plan: Plan) -> Iterator[str]:
    """Yield a line for each mode that does not ask for a field of its drafts in words."""
    for task_mode in plan.task_modes.values():
        task = task_mode.task
        said = " ".join(message["content"] for message in plan.preview(task_mode, task.prompts[0]))
        missing = [name for name in task.file.draft.fields if name not in said]
        if missing:
            names = ", ".join(missing)
            yield (
                f"{task.name}: mode {task_mode.mode.label} does not name {names}: LLMs that are not held to a JSON "
                "schema are not asked for it"
            )


def _plan(task: str, modes: tuple[str, ...], corpus: str | None, embedder: str | None) -> Plan:
    from popbench.planning.config import resolve_config
    from popbench.planning.resolve import make_plan

    return make_plan(resolve_config({"task": (task,), "mode": modes, "corpus": corpus, "embedder": embedder}))

"""Finds the tasks that `--task` names, and loads their prompts from `datasets` or from a copy on this machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, unknown
from popbench.records import JSON, Prompt
from popbench.registry import load_registry
from popbench.specs import parse_spec, path_exists
from popbench.tasks.datasets import load_rows
from popbench.tasks.schema import Listed, TaskFile, find_task_files, read_task_file
from popbench.tasks.task import Task
from popbench.tasks.where import meets, unmatched
from popbench.tasks.written import plain_json


def registered_tasks() -> list[Listed]:
    """Return the task files in the folders that plugins register."""
    return list(find_task_files(load_registry().task_folders))


def registered_names() -> set[str]:
    """Return the names of these tasks, and of their groups."""
    files = [listed.file for listed in registered_tasks() if listed.file is not None]
    return {file.task for file in files} | {file.group for file in files if file.group}


def load_tasks(specs: Iterable[str]) -> list[Task]:
    """Load the tasks that `--task` names: a task, a group, a YAML file, or a folder of them.

    `NAME,path=COPY` loads a task's data from a local copy. Raises UsageError for a name that is unknown or registered
    twice, and for a task that cannot be loaded or is empty.
    """
    tasks: dict[str, Task] = {}
    for spec in specs:
        name, options = (spec, {}) if path_exists(spec) else parse_spec(spec)
        if extra := set(options) - {"path"}:
            raise unknown(f"option of task {name}", min(extra), ["path"])
        for listed in task_files(name):
            assert listed.file is not None
            task = load_task(listed.path, options.get("path"))
            other = tasks.get(task.name, task)
            if other.hash != task.hash or other.template_files != task.template_files:
                raise UsageError(f"two different tasks are named {task.name!r}: rename one")
            tasks[task.name] = task
    return list(tasks.values())


def is_task_path(name: str) -> bool:
    """Say whether `--task` takes a text for a path: a YAML file, or a folder without the name of a registered task."""
    path = Path(name)
    if "/" in name or path.suffix in (".yaml", ".yml"):
        return True
    return path_exists(name) and path.is_dir() and not any(_named(listed, name) for listed in registered_tasks())


def task_files(name: str) -> list[Listed]:
    """Return the files of the tasks that a name means; raises UsageError if there are none, or one cannot be read."""
    path = Path(name)
    if ("/" in name or path.suffix) and not path_exists(name):
        raise UsageError(f"{name}: no such file or folder")
    if path_exists(name) and path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{name}: not a task (a task is a YAML file that names its data)")
    if path.suffix in (".yaml", ".yml"):
        return [Listed(path, read_task_file(path))]
    if path.is_dir() and is_task_path(name):
        matching = list(find_task_files([path]))
        if not matching:
            raise UsageError(f"{path}: no task file (*.yaml) in this folder")
    else:
        matching = [listed for listed in registered_tasks() if _named(listed, name)]
        exact = [listed for listed in matching if listed.file is not None and listed.file.task == name]
        if len(exact) > 1:
            raise UsageError(f"task {name!r} is registered twice, in {exact[0].path} and {exact[1].path}")
        matching = exact or matching
    for listed in matching:
        if listed.error:
            raise UsageError(listed.error)
    if not matching:
        raise unknown("task", name, registered_names(), "a file or folder is given by its path")
    return matching


def _named(listed: Listed, name: str) -> bool:
    if listed.file is None:
        return listed.path.stem == name
    return name in (listed.file.task, listed.file.group)


def load_task(path: Path, copy: str | None = None) -> Task:
    """Load a task file with its prompts, which come from `copy`, a file or folder on this machine, if it is given."""
    file = read_task_file(path)
    for mode, template in file.templates.items():
        if not (path.parent / template).is_file():
            raise UsageError(f"{path}: template of mode {mode!r} not found: {path.parent / template}")
    prompts = tuple(_prompts(file, path, load_rows(file.dataset, file.task, path, copy)))
    if not prompts:
        raise UsageError(
            f"{path}: task {file.task!r} has no prompts" + (" (where: matches no row)" if file.where else "")
        )
    twice = [id_ for id_, count in Counter(prompt.id for prompt in prompts).items() if count > 1]
    if twice:
        raise UsageError(f"{path}: {len(twice)} prompt ids occur more than once, for instance {twice[0]!r}")
    return Task(file, path.parent, prompts)


def _prompts(file: TaskFile, path: Path, rows: list[dict[str, Any]]) -> Iterator[Prompt]:
    if rows:
        columns = list(rows[0])
        fields = file.fields
        category = fields.category if isinstance(fields.category, str) else None
        for column in (fields.id, fields.prompt, category, *fields.extra, *file.where):
            if column is not None and column not in columns:
                raise UsageError(f"{path}: {unknown('column', column, columns)}")
    for key, wanted in file.where.items():
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if not any(meets(row[key], value) for row in rows):
                raise UsageError(f"{path}: where: matches no row {unmatched(key, value, [row[key] for row in rows])}")
    kept = [row for row in rows if all(meets(row[key], value) for key, value in file.where.items())]
    for position, row in enumerate(kept):
        where = f"{path}: row {position + 1}"
        text = row[file.fields.prompt]
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{where}: the prompt is empty or no text ({json.dumps(text, default=str)})")
        for named in (file.fields.id, file.fields.category):
            if isinstance(named, str) and (row[named] is None or not _text(row[named], named, where).strip()):
                raise UsageError(f"{where}: {named} is empty")
        id_ = _text(row[file.fields.id], file.fields.id, where) if file.fields.id else f"{position + 1:04d}"
        category = _category(file, path, row, position, len(kept))
        extra = {name: _extra(row[name], name, where) for name in file.fields.extra}
        yield Prompt(id_, _text(text, file.fields.prompt, where), category, file.task, extra)


def _extra(value: Any, column: str, where: str) -> JSON:
    """Return a value of a further column; raises UsageError if it is no JSON."""
    try:
        return plain_json(value)
    except ValueError as error:
        raise UsageError(f"{where}: column {column!r} of fields.extra holds {error}") from None


def _text(value: Any, column: str, where: str) -> str:
    """Return a value as text: what was written, or how Python writes it if its column has a type."""
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        text.encode()  # half a surrogate pair, by a JSON escape, can be written to no file
    except UnicodeError:
        raise UsageError(f"{where}: {column} is no valid text") from None
    return text


def _category(file: TaskFile, path: Path, row: Mapping[str, Any], position: int, total: int) -> str:
    category = file.fields.category
    if category is None:
        return "all"
    if isinstance(category, str):
        return _text(row[category], category, f"{path}: row {position + 1}")
    if total != category.blocks_of * len(category.names):
        raise UsageError(
            f"{path}: {total} rows, but blocks_of: {category.blocks_of} with {len(category.names)} names "
            f"needs {category.blocks_of * len(category.names)}"
        )
    return category.names[position // category.blocks_of]

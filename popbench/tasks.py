"""Tasks: YAML files that say where prompts come from, how they are grouped, and which templates exist.

A task's hash covers its name, version, prompts, categories and draft rules: what makes two results comparable.
Templates are not in it; they belong to the fingerprint of their mode.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from pathlib import Path
from typing import Any

import pydantic

from popbench.data_sets import load_rows
from popbench.errors import UsageError, damage, one_line, unknown
from popbench.files import read_yaml
from popbench.keys import digest
from popbench.records import JSON, Prompt
from popbench.registry import load_registry
from popbench.specs import parse_spec, path_exists


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Blocks(_Strict):
    """Categories by position: the first `blocks_of` rows are of the first name, and so on."""

    blocks_of: int = pydantic.Field(gt=0)
    names: list[str] = pydantic.Field(min_length=1)


class Fields(_Strict):
    """Which columns hold what; without `id` prompts are numbered, without `category` they are one stratum."""

    id: str | None = None
    prompt: str
    category: str | Blocks | None = None


class DraftRules(_Strict):
    """What a draft has to keep; `clip_seconds` is template text only."""

    title_max_chars: int = pydantic.Field(default=50, gt=0)
    clip_seconds: float | int = pydantic.Field(default=3, gt=0)


class TaskFile(_Strict):
    """The keys of a task's YAML file."""

    task: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    version: int | str
    group: str | None = None
    description: str = ""
    dataset: dict[str, Any]
    fields: Fields
    where: dict[str, Any] = {}
    templates: dict[str, str] = pydantic.Field(min_length=1)
    draft: DraftRules = DraftRules()


@dataclass(frozen=True)
class Task:
    """A task with its prompts loaded."""

    file: TaskFile
    folder: Path
    prompts: tuple[Prompt, ...]

    @property
    def name(self) -> str:
        """The task's name, as seeds and samples hold it."""
        return self.file.task

    @property
    def group(self) -> str | None:
        """The name under which its tasks are pooled on boards."""
        return self.file.group

    @cached_property
    def hash(self) -> str:
        """What two results must share to be comparable."""
        return task_hash(self.name, self.file.version, self.prompts, self.rules)

    @property
    def rules(self) -> dict[str, JSON]:
        """What its drafts have to keep."""
        return self.file.draft.model_dump(mode="json")

    def template(self, mode: str) -> Path:
        """Return the template file of a mode that the task has."""
        return self.folder / self.file.templates[mode]

    @property
    def template_files(self) -> dict[str, Path]:
        """The template file of every mode."""
        return {mode: self.template(mode).resolve() for mode in self.file.templates}

    def limited(self, limit: int | None, shard: tuple[int, int] | None = None) -> tuple[Prompt, ...]:
        """Take `limit` prompts round-robin over the categories, in their order: limit N + 1 adds one to limit N.

        Of these, a shard (i, n) has those that `shards` gives the number i.
        """
        chosen = spread(self.prompts, limit)
        if shard is None:
            return chosen
        which, number = shard
        dealt = self.shards(number)
        return tuple(prompt for prompt in chosen if dealt[prompt.id] == which)

    def shards(self, number: int) -> dict[str, int]:
        """Deal the prompts out to shards, in the order in which a limit takes them: shard 1, 2, ..., `number`, 1, ...

        Return each prompt's shard by its id.
        """
        order, categories = _in_turns(self.prompts)
        period = lcm(number, categories)
        # With a common factor, shards would meet the same categories again and again: every turn begins one later.
        later = int(period < number * categories)
        return {prompt.id: (at + later * (at // period)) % number + 1 for at, prompt in enumerate(order)}


def task_hash(name: str, version: int | str, prompts: Iterable[Prompt], rules: Mapping[str, JSON]) -> str:
    """Hash what two results of a task must share."""
    return digest(name, str(version), [[prompt.id, prompt.text, prompt.category] for prompt in prompts], dict(rules))


def spread(prompts: Sequence[Prompt], limit: int | None) -> tuple[Prompt, ...]:
    """Choose `limit` prompts of a task, all for None, as `Task.limited` says; they keep their order."""
    if limit is None or limit >= len(prompts):
        return tuple(prompts)
    chosen = {prompt.id for prompt in _in_turns(prompts)[0][:limit]}
    return tuple(prompt for prompt in prompts if prompt.id in chosen)


def _in_turns(prompts: Sequence[Prompt]) -> tuple[list[Prompt], int]:
    """Order prompts round-robin over their categories; return how many categories there are, too."""
    by_category: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt)
    rounds = max(len(found) for found in by_category.values())
    order = [found[turn] for turn in range(rounds) for found in by_category.values() if turn < len(found)]
    return order, len(by_category)


@dataclass(frozen=True, slots=True)
class Listed:
    """A task file that was found: its content, or the one line that says why it cannot be read."""

    path: Path
    file: TaskFile | None
    error: str | None = None


def read_task_file(path: Path) -> TaskFile:
    """Read and check a task's YAML; raises UsageError with the file and what is wrong in it."""
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({damage(error)})") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML ({damage(error)})") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a task file (expected keys such as task, dataset, fields, templates)")
    try:
        return TaskFile.model_validate(content)
    except pydantic.ValidationError as error:
        # A key that is not known often explains one that is missing.
        errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        # Of a category that is neither a column nor blocks, say what is wrong with the blocks.
        first = next((item for item in errors if "Blocks" in item["loc"] and len(item["loc"]) > 3), errors[0])
        where = ".".join(str(part) for part in first["loc"] if part not in ("Blocks", "str"))
        if first["type"] == "extra_forbidden":
            models: dict[str, type[_Strict]] = {"fields": Fields, "draft": DraftRules, "Blocks": Blocks}
            known = [models[str(part)] for part in first["loc"][:-1] if str(part) in models]
            parent = known[-1] if known else TaskFile
            raise UsageError(f"{path}: {unknown('key', where.rpartition('.')[2], parent.model_fields)}") from None
        raise UsageError(f"{path}: {where}: {one_line(first['msg'])}") from None


def find_task_files(folders: Iterable[Path]) -> Iterator[Listed]:
    """Find the task files at any depth below `folders`, sorted by path."""
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".yaml", ".yml")):
            try:
                yield Listed(path, read_task_file(path))
            except UsageError as error:
                yield Listed(path, None, str(error))


def registered_tasks() -> list[Listed]:
    """List the task files that plugins register."""
    return list(find_task_files(load_registry().task_folders))


def load_tasks(specs: Iterable[str]) -> list[Task]:
    """Load the tasks that `--task` names: a task, a group, a YAML file, or a folder of them.

    `NAME,path=COPY` loads a task's data from a local copy. Raises UsageError for a name that is unknown or
    claimed twice, and for a task that cannot be loaded or is empty.
    """
    tasks: dict[str, Task] = {}
    for spec in specs:
        name, options = (spec, {}) if path_exists(spec) else parse_spec(spec)
        if extra := set(options) - {"path"}:
            raise unknown(f"option of task {name}", min(extra), ["path"])
        for listed in _matching(name):
            assert listed.file is not None
            task = load_task(listed.path, options.get("path"))
            other = tasks.get(task.name, task)
            if other.hash != task.hash or other.template_files != task.template_files:
                raise UsageError(f"two different tasks are named {task.name!r}: rename one")
            tasks[task.name] = task
    return list(tasks.values())


def is_task_path(name: str) -> bool:
    """Say whether `--task` takes a text for a path: a YAML file, or a folder that no registered task is named like."""
    path = Path(name)
    if "/" in name or path.suffix in (".yaml", ".yml"):
        return True
    return path_exists(name) and path.is_dir() and not any(_named(listed, name) for listed in registered_tasks())


def _matching(name: str) -> list[Listed]:
    path = Path(name)
    if ("/" in name or path.suffix) and not path_exists(name):
        raise UsageError(f"{name}: no such file or folder")
    if path_exists(name) and path.is_file() and path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{name}: not a task (a task is a YAML file that names its data)")
    if path.suffix in (".yaml", ".yml"):
        return [Listed(path, read_task_file(path))]
    if path.is_dir() and is_task_path(name):
        found = list(find_task_files([path]))
        if not found:
            raise UsageError(f"{path}: no task file (*.yaml) in this folder")
    else:
        found = [listed for listed in registered_tasks() if _named(listed, name)]
        exact = [listed for listed in found if listed.file is not None and listed.file.task == name]
        if len(exact) > 1:
            raise UsageError(f"task {name!r} is registered twice, in {exact[0].path} and {exact[1].path}")
        found = exact or found
    for listed in found:
        if listed.error:
            raise UsageError(listed.error)
    if not found:
        files = [listed.file for listed in registered_tasks() if listed.file is not None]
        names = {file.task for file in files} | {file.group for file in files if file.group}
        raise unknown("task", name, names, "a file or folder is given by its path")
    return found


def _named(listed: Listed, name: str) -> bool:
    if listed.file is None:
        return listed.path.stem == name
    return name in (listed.file.task, listed.file.group)


def load_task(path: Path, copy: str | None = None) -> Task:
    """Load one task file with its prompts, from `copy` (a file or folder on this machine) where it is given."""
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
        for column in (fields.id, fields.prompt, category, *file.where):
            if column is not None and column not in columns:
                raise UsageError(f"{path}: {unknown('column', column, columns)}")
    kept = [row for row in rows if all(_meets(row[key], value) for key, value in file.where.items())]
    for position, row in enumerate(kept):
        text = row[file.fields.prompt]
        if not isinstance(text, str) or not text.strip():
            raise UsageError(
                f"{path}: row {position + 1}: the prompt is empty or no text ({json.dumps(text, default=str)})"
            )
        for key in (file.fields.id, file.fields.category):
            if isinstance(key, str) and (row[key] is None or not str(row[key]).strip()):
                raise UsageError(f"{path}: row {position + 1}: {key} is empty")
        id_ = str(row[file.fields.id]) if file.fields.id else f"{position + 1:04d}"
        yield Prompt(id_, text, _category(file, path, row, position, len(kept)), file.task)


def _meets(value: JSON, wanted: JSON) -> bool:
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _category(file: TaskFile, path: Path, row: Mapping[str, Any], position: int, total: int) -> str:
    category = file.fields.category
    if category is None:
        return "all"
    if isinstance(category, str):
        return str(row[category])
    if total != category.blocks_of * len(category.names):
        raise UsageError(
            f"{path}: {total} rows, but blocks_of: {category.blocks_of} with {len(category.names)} names "
            f"needs {category.blocks_of * len(category.names)}"
        )
    return category.names[position // category.blocks_of]

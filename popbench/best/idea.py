"""A task of one idea: prompts of the same text, one for each draft, with the templates and rules of another task."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from popbench.errors import UsageError, damage, one_line
from popbench.files import read_lines, write_files
from popbench.keys import digest
from popbench.prompting.invisible import strip_invisible
from popbench.prompting.templates import Template
from popbench.records import Prompt
from popbench.tasks.loading import task_files
from popbench.tasks.schema import Fields, TaskFile
from popbench.tasks.task import Task

NAME = "idea"
FOLDER, FILE, PROMPTS = "idea", "idea/idea.yaml", "idea/prompts.jsonl"
LONGEST = 5000
"""The most characters of an idea: models and predictors cut longer ones without a word."""
MOST = 500
"""The most drafts. The task has a prompt for each, so that a run can be given more drafts later."""


def read_idea(text: str) -> str:
    """Return an idea without blanks around it; raises UsageError for one that is empty, too long or no text."""
    idea = text.strip()
    if not strip_invisible(idea):
        raise UsageError('the idea is empty: say in a few words what the video is about, as in "a cat learns to skate"')
    if len(idea) > LONGEST:
        raise UsageError(f"the idea has {len(idea):,} characters, and may have {LONGEST:,}: say it in fewer words")
    if idea != idea.encode("utf-8", "replace").decode("utf-8"):
        raise UsageError("the idea has bytes in it that are no valid text: give it in UTF-8")
    if "\0" in idea:
        raise UsageError("the idea has a NUL character in it, which no model takes: take it out")
    return idea


def idea_task(idea: str, like: str) -> Task:
    """Return the task of an idea, with the templates and rules of the task that `like` names, of a group the first.

    The prompts of that task are not read. Raises UsageError if there is no such task.
    """
    listed = min(task_files(like), key=lambda item: item.file.task if item.file else "")
    if listed.file is None:
        raise UsageError(listed.error or f"{like}: no task")
    file = TaskFile(
        task=NAME,
        version=1,
        description=f"One idea, drafted several times, with the templates of {listed.file.task}",
        dataset={"path": "json", "data_files": Path(PROMPTS).name, "split": "train"},
        fields=Fields(id="id", prompt="prompt"),
        templates=listed.file.templates,
        draft=listed.file.draft,
    )
    prompts = (Prompt(f"{number:03d}", idea, "all", NAME) for number in range(1, MOST + 1))
    return Task(file, listed.path.parent, tuple(prompts))


def folder_name(idea: str, seed: int) -> str:
    """Return the name of an idea's folder: its first words, and a hash of it and the seed."""
    words = "-".join(re.findall(r"[a-z0-9]+", idea.lower()))[:40].strip("-")
    return "-".join(["best", *([words] if words else []), digest(NAME, idea, seed)[:8]])


def check_folder(folder: Path, idea: str) -> None:
    """Raise UsageError if a folder holds anything but drafts of this idea."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: choose another --out")
    try:
        if not folder.is_dir() or not {file.name for file in folder.iterdir()} - {FOLDER}:
            return  # a killed command may have left a part of the task
        theirs = json.loads(next(read_lines(folder / PROMPTS)))["prompt"]
    except FileNotFoundError:
        raise UsageError(f"{folder} holds other files, and no drafts of an idea: choose another --out") from None
    except (OSError, ValueError, LookupError, TypeError, StopIteration, RecursionError) as error:
        raise UsageError(f"{folder / PROMPTS}: cannot be read ({damage(error)}): choose another --out") from error
    if theirs != idea:
        raise UsageError(f"{folder} holds drafts of another idea ({one_line(str(theirs), 80)}): choose another --out")


def write_task(task: Task, folder: Path) -> None:
    """Write a task into a folder with its own copies of templates, so that `popbench eval` can run it by itself.

    Raises RunError if the disk refuses.
    """
    templates = {mode: Template(task.template(mode)) for mode in task.file.templates}
    named = {mode: f"{mode}/{template.path.name}" for mode, template in templates.items()}
    file = task.file.model_copy(update={"templates": named})
    content = file.model_dump(mode="json", exclude_defaults=True)
    lines = (json.dumps({"id": each.id, "prompt": each.text}, ensure_ascii=False) + "\n" for each in task.prompts)
    texts = {f"{FOLDER}/{mode}/{name}": text for mode, each in templates.items() for name, text in each.sources.items()}
    yaml_text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_files(folder, {**texts, FILE: yaml_text, PROMPTS: "".join(lines)})

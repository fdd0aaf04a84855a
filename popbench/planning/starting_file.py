"""Writes a first popbench.toml: the settings that were chosen, and the others as comments with their defaults."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from popbench.errors import UsageError
from popbench.planning.config import DEFAULT_CORPUS, DEFAULT_EMBEDDER, EvalConfig, make_config
from popbench.prompting.mode_specs import read_mode
from popbench.registry import load_registry
from popbench.tasks.loading import task_files
from popbench.tasks.schema import Listed
from popbench.tasks.task import Task

KINDS = {"llm": "llm", "gen": "generator", "predictor": "predictor", "corpus": "corpus", "embedder": "embedder"}
"""Kinds of components by the settings that name them."""
_EXPLAINED = {
    "llm": "Language models that write title and video prompt. `popbench plugins` lists what is installed.",
    "gen": "Video generators that render the clips.",
    "predictor": "Popularity predictors that score the clips; the first one gives the board its verdicts.",
    "mode": 'How an LLM is asked. "pe" shows it popular and unpopular videos of the corpus, "basic" does not.',
    "task": "Prompt sets: names, groups, YAML files or folders.",
    "corpus": f"Where references come from. With an LLM of your own it is {DEFAULT_CORPUS}, which needs the data set.",
    "embedder": f"What finds references: {DEFAULT_EMBEDDER}, for the demo corpus hashing.",
    "limit": "Prompts of each task, spread over its categories. Without it all are taken.",
    "repeats": "Samples of each prompt.",
    "max_cost": "USD that the calls of a run may cost in all.",
}
_SHOWN: Mapping[str, Any] = {"mode": ["basic", "pe"], "limit": 20, "max_cost": 10.0}
"""Specimens of settings without a default value."""


def starting_file(chosen: Mapping[str, Any]) -> str:
    """Return a popbench.toml with the chosen settings, by their names in `EvalConfig`.

    Raises UsageError for a component that is not installed, a task or mode that is not there, or a value that `eval`
    would refuse.
    """
    settings = {name: value for name, value in chosen.items() if value is not None and value != ()}
    config = make_config(settings)
    for name, kind in KINDS.items():
        value = settings.get(name, ())
        for spec in (value,) if isinstance(value, str) else value:
            load_registry().resolve(kind, spec)
    tasks = [_task(listed) for name in config.task for listed in task_files(name)]
    for mode in config.mode:
        read_mode(mode, tasks)
    text = "".join(f"{line}\n" for line in _lines(settings))
    if make_config(tomllib.loads(text)) != config:
        raise UsageError("these settings cannot be written as TOML: leave out unusual characters")
    return text


def _task(listed: Listed) -> Task:
    """Return a task without its prompts, which may be on the hub."""
    if listed.file is None:
        raise UsageError(listed.error or f"{listed.path}: no task")
    return Task(listed.file, listed.path.parent, ())


def _lines(settings: Mapping[str, Any]) -> list[str]:
    lines = [
        "# Settings of `popbench eval` in this folder. An option on the command line overrides a line here.",
        '# A component is NAME or NAME,key=value,...; several are a list: llm = ["shotlist", "verbatim"]',
    ]
    config = EvalConfig()
    for name, explained in _EXPLAINED.items():
        value, mark = settings.get(name), ""
        if value is None:
            value, mark = _SHOWN.get(name, getattr(config, name)), "# "
        lines += ["", f"# {explained}", f"{mark}{name} = {_toml(value)}"]
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _toml(value[0]) if len(value) == 1 else f"[{', '.join(map(_toml, value))}]"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"\x7f", r"\\u007f", text)

"""What a file of a run may name: components and tasks that are installed here, set by plain values, and nothing else.

Who has a run from somebody else reads what somebody else typed. A path on this machine, an address or a model of the
hub is taken from the command line only, and so is leave to run code that comes with a model.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping

from popbench.errors import UsageError, one_line
from popbench.records import JSON
from popbench.specs import parse_spec, path_exists

SPECS = ("llm", "gen", "mode", "task", "predictor", "corpus", "embedder")
"""Settings that hold specs; the engine of a run is none of its results, and is never taken from its file."""
_CODE = frozenset({"trust_remote_code", "custom_pipeline", "custom_generate", "auto_map", "code_revision"})
"""Options that libraries of models run code for, wherever they stand in a spec."""
_NO = frozenset({"", "false", "no", "off", "0", "f", "n", "null", "none", "{}", "[]"})


def check_recorded(specs: Iterable[str], source: str) -> None:
    """Raise UsageError where specs that a file of a run holds would run code: only who types that may ask for it."""
    for spec in specs:
        try:
            options = list(_options(spec))
        except UsageError:  # a task's path may have a comma in it, and any other spec is refused where it is used
            continue
        if any(key in _CODE and str(value).strip().lower() not in _NO for key, value in options):
            raise UsageError(
                f"{source} asks to run code that comes with a model ({one_line(spec, 100)}), and is not trusted to"
            )


def leads_elsewhere(spec: str, *, task: bool = False) -> bool:
    """Say whether a spec leads to what no plugin brings: a path, an address, a model of the hub, code.

    A task leads elsewhere by its own name, too, where that is a path, and by a copy of its data.
    """
    if task:
        from popbench.tasks.loading import is_task_path

        name, options = (spec, {}) if path_exists(spec) else parse_spec(spec)  # as `load_tasks` reads it
        return bool(options) or is_task_path(name)
    return any(
        key in _CODE or (isinstance(value, str) and _is_place(value)) for key, value in _options(spec) if key != "label"
    )


def names_place_here(spec: str) -> bool:
    """Say whether a spec names a path on this machine, or leads out by one."""
    return any(
        isinstance(value, str) and (path_exists(value) or value.strip().startswith(("/", "~", ".", "\\", "file:")))
        for key, value in _options(spec)
        if key != "label"
    )


def check_named(settings: Mapping[str, JSON], source: str, remedy: str) -> None:
    """Raise UsageError for the first spec among a run's settings that leads elsewhere; `remedy` says what to type."""
    for name in SPECS:
        value = settings.get(name)
        for spec in [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
            if leads_elsewhere(str(spec), task=name == "task"):
                raise UsageError(
                    f"{source} names {name} {one_line(str(spec), 200)}, which no plugin brings, and what a run names "
                    f"is not looked up elsewhere: {remedy}"
                )


def typed(option: str, spec: str) -> str:
    """Show a spec as it is typed after an option."""
    return f"{option} {shlex.quote(one_line(spec, 200))}"


def _options(spec: str) -> Iterator[tuple[str, JSON]]:
    """Yield the options of a spec, and what stands in lists and objects among them, as deep as they go."""
    for key, value in parse_spec(spec)[1].items():
        yield key, str(value)
        try:
            yield from _inner(key, json.loads(str(value)))
        except (ValueError, RecursionError):
            continue


def _inner(key: str, value: JSON) -> Iterator[tuple[str, JSON]]:
    items = (
        value.items() if isinstance(value, dict) else ((key, item) for item in value) if isinstance(value, list) else ()
    )
    for name, item in items:
        yield str(name), json.dumps(item) if isinstance(item, dict | list) else item
        yield from _inner(str(name), item)


def _is_place(value: str) -> bool:
    text = value.strip()
    if text.startswith(("{", "[")) and _is_json(text):
        return False  # what stands in it is looked at by itself
    return "/" in text or "\\" in text or text.startswith(("~", "..")) or (bool(text) and path_exists(text))


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False

"""What a run's file may name: components and tasks that are installed here, with plain values as options.

A run may come from somebody else, who may have written anything into its files. So a path on this machine, an address
or a model of the hub is accepted on the command line only, and so is the permission to run code of a model.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from popbench.errors import UsageError, one_line
from popbench.records import JSON
from popbench.specs import parse_spec, path_exists

SPECS = ("llm", "gen", "mode", "task", "predictor", "corpus", "embedder")
"""Settings that hold specs. The engine is not among them: it changes no results, and is never taken from a file."""
_CODE = frozenset({"trust_remote_code", "custom_pipeline", "custom_generate", "auto_map", "code_revision"})
"""Options for which model libraries run code of the model, wherever they stand in a spec."""
_NO = frozenset({"", "false", "no", "off", "0", "f", "n", "null", "none", "{}", "[]"})


def check_recorded(specs: Iterable[str], source: str) -> None:
    """Raise UsageError if specs from a run's file would run code of a model: only a typed spec may ask for that."""
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
    """Return whether a spec names anything that no plugin brings: a path, an address, a model of the hub, code.

    A task also does so if its name is a path, or if it has options, which name copies of its data.
    """
    if task:
        from popbench.tasks.loading import is_task_path

        name, options = (spec, {}) if path_exists(spec) else parse_spec(spec)  # as `load_tasks` reads it
        return bool(options) or is_task_path(name)
    return any(
        key in _CODE or (isinstance(value, str) and _is_place(value)) for key, value in _options(spec) if key != "label"
    )


def names_place_here(spec: str) -> bool:
    """Return whether an option of a spec is a path on this machine."""
    return any(
        isinstance(value, str) and (path_exists(value) or value.strip().startswith(("/", "~", ".", "\\", "file:")))
        for key, value in _options(spec)
        if key != "label"
    )


def check_named(settings: Mapping[str, JSON], source: str, remedy: str) -> None:
    """Raise UsageError for the first of a run's specs that `leads_elsewhere`; `remedy` says what to type instead."""
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
    """Yield the options of a spec, of specs among their values, and all values in lists and objects."""
    for key, value in parse_spec(spec)[1].items():
        yield key, str(value)
        if "=" in value:  # perhaps a spec, as a mode's predictor
            with suppress(UsageError):
                yield from list(_options(str(value)))
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
        return False  # its values are looked at one by one
    return "/" in text or "\\" in text or text.startswith(("~", "..")) or (bool(text) and path_exists(text))


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False

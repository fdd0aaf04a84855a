"""Modes by the path of a file: a template of one's own, or what `popbench optimize` found in a directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from popbench.errors import UsageError, damage
from popbench.files import MAX_CONFIG_BYTES, read_json
from popbench.records import JSON
from popbench.specs import parse_spec, path_exists, write_spec

BEST = "best-of-"
"""Begins the name of a mode that `popbench optimize` found; the path of its directory follows."""
TEMPLATE, PROVENANCE = "best.j2", "best.json"
"""The files of that mode: its template, and its options with where it comes from."""


@dataclass(frozen=True, slots=True)
class ModeFile:
    """A template of its own: the name and label of its mode, and options that the mode has unless others are given.

    `own_label` is a label that options are not added to; None where they are.
    """

    name: str
    label: str
    template: Path
    options: Mapping[str, str] = field(default_factory=dict)
    own_label: str | None = None


def find_mode_file(name: str) -> ModeFile | None:
    """Return the file that a mode's name stands for; None if it is the name of a mode of tasks or plugins.

    Raises UsageError for a file or directory that is not there or holds no mode.
    """
    if name.startswith(BEST) and (directory := Path(name.removeprefix(BEST))) != Path():
        return _best_of(name, directory)
    if not name.endswith(".j2"):
        return None
    if not path_exists(name):
        raise UsageError(f"mode {name}: no such file (a mode is the name of a template of the tasks, or FILE.j2)")
    path = Path(name)
    return ModeFile(path.name, path.stem, path)


def absolute_spec(text: str) -> str:
    """Return the spec of a mode with the absolute path of its file, and with the options that stand beside that.

    So what is recorded of a run needs no other file, and works in any folder. Other specs are returned as they are.
    """
    name, options = parse_spec(text)
    found = find_mode_file(name)
    if found is None:
        return text
    label = {} if found.own_label is None else {"label": found.own_label}
    return write_spec(str(found.template.absolute()), {**found.options, **label, **options})


def _best_of(name: str, directory: Path) -> ModeFile:
    template, provenance = directory / TEMPLATE, directory / PROVENANCE
    if not path_exists(str(directory)):
        raise UsageError(f"mode {name}: {directory}: no such folder (popbench optimize --out DIR makes best-of-DIR)")
    if not path_exists(str(template)) or not path_exists(str(provenance)):
        raise UsageError(
            f"mode {name}: {directory} has no {TEMPLATE} with {PROVENANCE}: popbench optimize writes them when it is "
            "done, and has found anything better than the start"
        )
    try:
        content: JSON = read_json(provenance, MAX_CONFIG_BYTES)
        options = content["options"]
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{provenance}: cannot be read ({damage(error)})") from error
    folder = directory.resolve().name
    return ModeFile(BEST + folder, BEST + folder, template, texts, BEST + folder)

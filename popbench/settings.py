"""Where options that are not given come from: `popbench.toml` here, then in the user's config folder; `--config`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from popbench.errors import UsageError, one_line
from popbench.records import JSON

FILE = "popbench.toml"


def defaults() -> dict[str, JSON]:
    """Read popbench.toml from the working directory over the one in the user's config folder."""
    import platformdirs

    merged: dict[str, JSON] = {}
    for folder in (platformdirs.user_config_path("popbench"), Path()):
        path = folder / FILE
        if path.is_file():
            merged |= _named(_read_toml(path), path)
    return merged


def read_config(path: Path) -> dict[str, JSON]:
    """Read `--config FILE`: TOML, or JSON such as a run.json (its `config` counts)."""
    if path.suffix == ".toml":
        return _named(_read_toml(path), path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a configuration ({one_line(error)})") from error
    if isinstance(content, dict) and "config" in content:
        content = content["config"]
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a configuration (expected an object with settings such as llm and gen)")
    return _named(content, path)


def _read_toml(path: Path) -> dict[str, JSON]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error


def _named(content: Mapping[str, JSON], path: Path) -> dict[str, JSON]:
    """Take option names as they are typed, `stop-after`, or as Python has them, `stop_after`; check them here."""
    from popbench.plan import make_config

    values = {name.replace("-", "_"): value for name, value in content.items()}
    try:
        make_config(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return values

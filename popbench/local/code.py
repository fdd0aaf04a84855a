"""What files of a model ask to be run: told before a library reads them, whichever version of it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from popbench.local.files import read_json

_KERNELS = ("attn_implementation", "experts_implementation", "kernel", "kernels")
"""Ends of the keys under which a configuration names compiled code, as a repository of the hub."""


def asks_for_kernels(folder: Path) -> str | None:
    """Say in a few words that a model's config.json has a library fetch compiled code and run it; None otherwise."""
    found = _kernel(read_json(folder / "config.json"))
    if found is None:
        return None
    return f"its config.json asks for compiled code of the hub ({found!r}), which is not run: take that entry out"


def _kernel(config: Any, key: str = "") -> str | None:
    if isinstance(config, dict):
        inside = (_kernel(value, str(name) if not key.endswith(_KERNELS) else key) for name, value in config.items())
        return next(filter(None, inside), None)
    if isinstance(config, list):
        return next(filter(None, (_kernel(value, key) for value in config)), None)
    return config[:100] if isinstance(config, str) and "/" in config and key.endswith(_KERNELS) else None

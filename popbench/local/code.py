"""Finds what a model's files ask a library to execute, before the library reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from popbench.local.files import read_json

_KERNELS = ("attn_implementation", "experts_implementation", "kernel", "kernels")
"""Endings of the keys under which a configuration names a hub repository with compiled code."""


def asks_for_kernels(folder: Path) -> str | None:
    """Return a message if a model's config.json makes a library fetch and run compiled code; else None."""
    # Newer versions of transformers do that without asking. Checking here does not depend on the version.
    repository = _kernel(read_json(folder / "config.json"))
    if repository is None:
        return None
    return f"its config.json asks for compiled code of the hub ({repository!r}), which is not run: take that entry out"


def _kernel(config: Any, key: str = "") -> str | None:
    if isinstance(config, dict):
        inside = (_kernel(value, str(name) if not key.endswith(_KERNELS) else key) for name, value in config.items())
        return next(filter(None, inside), None)
    if isinstance(config, list):
        return next(filter(None, (_kernel(value, key) for value in config)), None)
    return config[:100] if isinstance(config, str) and "/" in config and key.endswith(_KERNELS) else None

"""Task folders that come with popbench: YAML files, prompts and templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import RegisterTasks


@popbench.hookimpl
def register_tasks(register: RegisterTasks) -> None:
    """Register this folder."""
    register(Path(__file__).parent)

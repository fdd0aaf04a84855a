"""Keeping libraries from writing to a terminal that shows popbench's own progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_LOGGERS = ("bitsandbytes", "accelerate", "torch", "torchao")
_lock = threading.Lock()
_silenced: dict[str, tuple[int, Callable[[], None]]] = {}
"""What is silent now, by name: how many blocks want it so, and what undoes it."""


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Show neither bars nor logged warnings of `libraries` and what they use; errors are raised, as ever.

    They are those with a `utils.logging` as Hugging Face's have it, such as transformers and diffusers. Blocks may
    be nested and overlap in several threads: each library talks again when the last block that names it has ended.
    """
    modules: dict[str, Any] = {name: import_module(f"{name}.utils.logging") for name in dict.fromkeys(libraries)}
    wanted = [*_LOGGERS, *modules]
    with _lock:
        for name in wanted:
            depth, undo = _silenced.get(name) or (0, _hush(modules[name]) if name in modules else _raise_level(name))
            _silenced[name] = depth + 1, undo
    try:
        yield
    finally:
        with _lock:
            for name in wanted:
                depth, undo = _silenced.pop(name)
                if depth > 1:
                    _silenced[name] = depth - 1, undo
                else:
                    undo()


def _hush(library: Any) -> Callable[[], None]:
    """Silence a library; return what undoes it."""
    verbosity = library.get_verbosity()
    # older versions do not tell, and have bars unless they were told otherwise
    asked = getattr(library, "is_progress_bar_enabled", None)
    bars = asked() if asked is not None else getattr(library, "_tqdm_active", True)
    library.set_verbosity_error()
    library.disable_progress_bar()

    def undo() -> None:
        library.set_verbosity(verbosity)
        if bars:
            library.enable_progress_bar()

    return undo


def _raise_level(name: str) -> Callable[[], None]:
    """Let a logger pass errors only; return what undoes it."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    return lambda: logger.setLevel(level)

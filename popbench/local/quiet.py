"""Silences libraries that would write into popbench's progress on the terminal."""

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
"""The libraries and loggers that are silenced, by name: by how many blocks, and the function that undoes it."""


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Hide progress bars and logged warnings of `libraries`, and of what they use, inside the block.

    They must have a module `utils.logging` like Hugging Face's: transformers, diffusers. Exceptions are raised as
    usual. Blocks may be nested, and overlap in several threads: a library's settings are restored when the last block
    that names it ends.

    >>> from popbench import local
    >>> with local.quiet("transformers"):
    ...     pass  # load a model
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
    """Silence a library; return a function that undoes it."""
    verbosity = library.get_verbosity()
    # Older versions lack this function; their bars are on by default.
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
    """Let a logger pass errors only; return a function that undoes it."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    return lambda: logger.setLevel(level)

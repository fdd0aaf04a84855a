"""Keeping the libraries from writing to a terminal that shows popbench's own progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_LOGGERS = ("bitsandbytes", "accelerate", "torch")
_lock = threading.Lock()
_depth = 0
_before: tuple[int, bool, dict[str, int]] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Show neither bars nor warnings of transformers and what it uses; errors are raised, as ever."""
    global _depth, _before
    hf: Any = import_module("transformers.utils.logging")
    with _lock:
        _depth += 1
        if _depth == 1:
            levels = {name: logging.getLogger(name).level for name in _LOGGERS}
            _before = (hf.get_verbosity(), hf.is_progress_bar_enabled(), levels)
            hf.set_verbosity_error()
            hf.disable_progress_bar()
            for name in _LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _before is not None:
                verbosity, bars, levels = _before
                hf.set_verbosity(verbosity)
                if bars:
                    hf.enable_progress_bar()
                for name, level in levels.items():
                    logging.getLogger(name).setLevel(level)

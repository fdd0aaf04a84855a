"""Keeping a board's folder to one process, without leaving a file behind that a repository would have to ignore."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from popbench.errors import UsageError, one_line
from popbench.files import remove_parts
from popbench.scores.board_folder import SUBMISSIONS

WAIT = 60.0
"""How many seconds to wait for another process that has the board."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a board to this process, with its folder made where there is none; one that stays empty is removed again.

    Waits for another process; raises UsageError where that takes longer than a minute, or where there can be no folder.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        lock = _lock(path)
    except OSError as error:
        raise UsageError(f"{path}: no board can be kept here ({one_line(error)})") from error
    try:
        remove_parts(path.resolve())  # what a killed process had not finished writing
        remove_parts(path / SUBMISSIONS)
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # something is in it
                folder.rmdir()
        os.close(lock)


def _lock(path: Path) -> int:
    """Lock the folder itself; return the descriptor that holds the lock until it is closed."""
    until = time.monotonic() + WAIT
    while True:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed the folder that had stayed empty.
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise UsageError(f"{path} is in use by another process: try again when it is done") from None
        os.close(lock)
        time.sleep(0.05)

"""A lock on a board's folder that leaves no file behind, which repositories would have to ignore."""

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
from popbench.scores.withdrawals import WITHDRAWN

WAIT = 60.0
"""Seconds to wait for another process that has the lock."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a board's folder, which is made if there is none; one that stays empty is removed again.

    Raises UsageError if another process holds the lock for longer than a minute, or if the folder cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        lock = _lock(path)
    except OSError as error:
        raise UsageError(f"{path}: no board can be kept here ({one_line(error)})") from error
    try:
        remove_parts(path.resolve())  # unfinished files of a killed process
        remove_parts(path / SUBMISSIONS)
        remove_parts(path / WITHDRAWN)
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
            # The process that had the lock may have removed the folder.
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise UsageError(f"{path} is in use by another process: try again when it is done") from None
        os.close(lock)
        time.sleep(0.05)

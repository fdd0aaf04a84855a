"""A worker's folder on its node. A killed worker cannot remove its own: the next one there does.

Nothing is removed recursively but what `tempfile` made for this process; of others, files one by one.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "popbench-worker-"
_LOCK = ".alive"
"""A file in each folder, which is locked as long as its worker lives, whatever ends it."""


class Folder:
    """A folder of a worker's own, until `remove`."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.path = Path(self._temporary.name)
        self._lock: int | None = None
        with suppress(OSError):  # where files cannot be locked, nobody removes this folder later
            part = self.path / f"{_LOCK}.part"
            self._lock = os.open(part, os.O_CREAT | os.O_WRONLY, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.rename(self.path / _LOCK)  # it never has this name without being locked

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self._temporary.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_left_behind() -> None:
    """Remove the folders of this user's workers that are gone without having removed them."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # its worker is alive, or it is no such folder: it stays
            _remove(path)


def _remove(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            return
        lock = os.open(_LOCK, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = list(os.scandir(folder))
            if any(entry.is_dir(follow_symlinks=False) for entry in found):
                return  # a worker makes none
            for name in (*(entry.name for entry in found if entry.name != _LOCK), _LOCK):
                os.unlink(name, dir_fd=folder)
            path.rmdir()
        finally:
            os.close(lock)
    finally:
        os.close(folder)

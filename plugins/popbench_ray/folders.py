"""A worker's folder on its node. The folder of a killed worker is removed by the next worker on that node.

Only the folder that `tempfile` made for this process is removed recursively. In folders of other processes, files are
removed one by one, so that a folder with anything unexpected in it stays.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PREFIX = "popbench-worker-"
_LOCK = ".alive"
"""A file in each folder. It is locked while the worker's process lives: the system unlocks it however that ends."""


class WorkerFolder:
    """A temporary folder of one worker."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.path = Path(self._temporary.name)
        self._lock: int | None = None
        with suppress(OSError):  # where files cannot be locked, no later worker removes this folder
            part = self.path / f"{_LOCK}.part"
            self._lock = os.open(part, os.O_CREAT | os.O_WRONLY, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.rename(self.path / _LOCK)  # renamed when it is locked: another worker never sees it unlocked

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        self._temporary.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def end_session(leader: int, seconds: float = 3.0) -> None:
    """Kill all processes of a session but this one, and wait for their end.

    A Ray that has lost a process leaves others behind for minutes, and its workers until they have finished an item.
    """
    until = time.monotonic() + seconds
    while (found := list(_in_session(leader))) and time.monotonic() < until:
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _in_session(leader: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):  # where there is none, they end by themselves
        with suppress(OSError, ValueError, IndexError):
            process, (state, _, _, session) = int(stat.parent.name), _status(stat)
            if session != str(leader) or process in (leader, os.getpid()):
                continue
            if (
                state != "Z" or len(list(stat.with_name("task").iterdir())) > 1
            ):  # other threads may still hold its files
                yield process


def _status(stat: Path) -> list[str]:
    """Return a process's state, parent, group and session; its name, which may hold anything, stands before them."""
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:4]


def remove_stale_folders() -> None:
    """Remove the folders of this user's dead workers."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # the worker is alive, or this is not a worker's folder: it stays
            _remove(path)


def _remove(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            return
        lock = os.open(_LOCK, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            entries = list(os.scandir(folder))
            if any(entry.is_dir(follow_symlinks=False) for entry in entries):
                return  # workers make no subfolders: this is something else
            for name in (*(entry.name for entry in entries if entry.name != _LOCK), _LOCK):
                os.unlink(name, dir_fd=folder)
            path.rmdir()
        finally:
            os.close(lock)
    finally:
        os.close(folder)

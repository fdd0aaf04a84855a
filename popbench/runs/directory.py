"""A run directory: its name, its lock, its ledger, and the writing of its files."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.files import MAX_CONFIG_BYTES, read_text, write_whole
from popbench.keys import digest
from popbench.ledger.ledger import Ledger
from popbench.planning.plan import Plan
from popbench.records import JSON
from popbench.runs.run_json import read_run_json

LOCK, HOLDER = ".lock", ".holder"
"""Files of the process that has a run directory: the one that it locks, and the one with its name."""
_WRITTEN = (
    LOCK, HOLDER, "videos", "errors.log", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
)  # fmt: skip
"""Files that are written in place. They may not be links, since a stranger's could lead out of the directory."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
RUNS = Path("runs")
"""The default folder of run directories, below the working directory."""


def run_path(plan: Plan) -> Path:
    """Return a run's directory: the one asked for, or one named by its tasks and a hash of their hashes and seed.

    A shard's directory lies beside that of the whole run, so that all shards of a run can be given the same `out`.
    """
    path = _whole_path(plan)
    if plan.config.share is None:
        return path
    if path.name in ("", ".."):
        path = path.resolve()
    suffix = shard_suffix(*plan.config.share)
    return path if path.name.endswith(suffix) else path.parent / f"{path.name}{suffix}"


def shard_suffix(which: int, number: int) -> str:
    """Return the end of the name of a shard's directory, which starts with that of the whole run's."""
    return f".shard-{which}-of-{number}"


def _whole_path(plan: Plan) -> Path:
    if plan.config.out:
        try:
            Path(plan.config.out).stat()
        except FileNotFoundError:
            pass  # it is made
        except (OSError, ValueError) as error:
            where = f"{one_line(plan.config.out, 100)}: no run directory can be kept here"
            raise UsageError(f"{where} ({damage(error)}): choose another --out") from error
        return Path(plan.config.out)
    groups = {task.group for task in plan.tasks}
    group = next(iter(groups)) if len(groups) == 1 and len(plan.tasks) > 1 else None
    name = group or "+".join(sorted(task.name for task in plan.tasks))[:60]
    return RUNS / f"{name}-{digest(identity(plan))[:8]}"


def identity(plan: Plan) -> JSON:
    """Return what all results in a run directory share: task hashes and the seed."""
    return {
        "tasks": {task.name: task.hash for task in sorted(plan.tasks, key=lambda t: t.name)},
        "seed": plan.config.seed,
    }


def check_identity(ledger: Ledger, path: Path, plan: Plan) -> None:
    """Write a plan's tasks and seed into a new ledger; raises UsageError if the ledger has others."""
    ours = json.dumps(identity(plan), sort_keys=True)
    theirs = ledger.about("identity") or ledger.about("identity", ours)
    if theirs == ours:
        return
    seed = None
    with suppress(ValueError, TypeError, KeyError, RecursionError):  # a stranger's ledger may hold anything
        seed = json.loads(theirs or "{}")["seed"]
    what = f"seed {seed}" if seed != plan.config.seed else "other tasks, or another version of them"
    raise UsageError(f"{path} holds a run with {what}: choose another --out")


def check_shard(path: Path, shard: str | None) -> None:
    """Raise UsageError if a directory holds a run with another `shard`, or with none."""
    try:
        earlier = read_run_json(path)["config"].get("shard")
    except UsageError:
        return  # there is no run yet, or its run.json is damaged and is written again
    if earlier != shard and earlier is not None:
        raise UsageError(
            f"{path} is shard {earlier} of a run: go on with it by --shard {earlier}, or choose another --out"
        )
    if earlier != shard:
        raise UsageError(f"{path} is a whole run and no shard of one: choose another --out")


def check_free(path: Path) -> None:
    """Raise UsageError if another process has a run directory; used before any work, and makes no directory."""
    if not (path / LOCK).exists() or (path / LOCK).is_symlink():
        return
    with suppress(OSError, NotImplementedError):  # opening the directory raises it again, with a message
        lock = filelock.FileLock(path / LOCK, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise _in_use(path) from None
        lock.release()


def _in_use(path: Path) -> UsageError:
    try:
        holder = one_line(read_text(path / HOLDER, MAX_CONFIG_BYTES), 100)
    except (OSError, ValueError):
        holder = ""
    return UsageError(f"{path} is in use by {holder or 'another process'}: wait for it, or choose another --out")


class HeldDirectory:
    """An existing run directory, locked by this process until it is closed, for writing its files."""

    def __init__(self, path: Path) -> None:
        """Lock it; raises UsageError if another process has it, or if nothing can be written there."""
        self.path = path
        self.videos = path / "videos"
        self._lock = filelock.FileLock(path / LOCK, timeout=0)
        self._holder = path / HOLDER
        for name in _WRITTEN:
            if (path / name).is_symlink():
                raise UsageError(f"{path / name} is a link, and nothing is written through it: put the real one there")
        try:
            self._make()
            self._lock.acquire()
            self._holder.write_text(_whoami(), encoding="utf-8")
            for folder in (path, self.videos):  # a killed process leaves unfinished files
                with os.scandir(folder) as entries:  # a glob takes seconds for a million files
                    for entry in entries:
                        if entry.name.startswith(".") and entry.name.endswith(".part"):
                            Path(entry.path).unlink()
        except filelock.Timeout:
            raise _in_use(path) from None
        except (OSError, NotImplementedError) as error:
            self._release()
            if isinstance(error, OSError) and error.errno in _FULL:
                raise UsageError(f"{path}: {_reason(error)}: make room, then give the same command again") from error
            raise UsageError(f"{path}: {self._refusal(_reason(error))}") from error

    def _make(self) -> None:
        """Make the folders that are missing."""

    def _refusal(self, reason: str) -> str:
        return f"nothing can be written here ({reason})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock.is_locked:
            with suppress(OSError):
                self._holder.unlink(missing_ok=True)
        self._lock.release()

    def remove(self, *names: str) -> tuple[str, ...]:
        """Remove files of an earlier state of the run; returns the names of those that existed."""
        present = tuple(name for name in names if (self.path / name).exists())
        for name in present:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise RunError(f"{self.path / name} cannot be removed: {_reason(error)}") from error
        return present

    def write_json(self, name: str, value: JSON) -> None:
        """Write a file of the run as JSON, whole or not at all."""
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run, whole or not at all; raises RunError if the disk refuses."""
        try:
            write_whole(self.path / name, text.encode("utf-8"))
        except OSError as error:
            raise RunError(f"{self.path / name} cannot be written: {_reason(error)}") from error


class RunDirectory(HeldDirectory):
    """A run directory with its open ledger, locked by this process until it is closed."""

    def __init__(self, path: Path, plan: Plan, tell: Callable[[str], None] | None = None) -> None:
        """Open or make it; raises UsageError if that fails, or if another process or another run has it.

        With `tell`, another process that holds the ledger's file is waited for, and that is told in one line.
        """
        super().__init__(path)
        try:
            check_shard(path, plan.config.shard)
            self.ledger = Ledger(path / "ledger.sqlite", tell=tell)
            check_identity(self.ledger, path, plan)
        except BaseException:
            self._release()
            raise

    def _make(self) -> None:
        self.videos.mkdir(parents=True, exist_ok=True)

    def _refusal(self, reason: str) -> str:
        return f"no run directory can be kept here ({reason}): choose another --out"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.close()
        super().__exit__(kind, error, trace)


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)


def _whoami() -> str:
    started = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return f"process {os.getpid()} on {socket.gethostname()}, since {started}"

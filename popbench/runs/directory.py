"""A run directory: its name, its lock, its ledger, and how files are written into it."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
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
"""What says that a process has a run directory: the file that it locks, and the one that names it."""
_WRITTEN = (
    LOCK, HOLDER, "videos", "errors.log", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
)  # fmt: skip
"""What is written in place: a link there would have a stranger's run directory write elsewhere."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
RUNS = Path("runs")
"""Where run directories are made by default, below the working directory."""


def run_path(plan: Plan) -> Path:
    """Return a run's directory: the one asked for, or one named by its tasks and a hash of their hashes and seed.

    A shard's is beside that of the whole run, so that all shards of a run can be given one `out`.
    """
    path = _whole_path(plan)
    if plan.config.share is None:
        return path
    if path.name in ("", ".."):
        path = path.resolve()
    suffix = shard_suffix(*plan.config.share)
    return path if path.name.endswith(suffix) else path.parent / f"{path.name}{suffix}"


def shard_suffix(which: int, number: int) -> str:
    """Return what the name of a shard's directory has after that of the whole run's."""
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
    """Claim a new ledger for a plan's tasks and seed; raises UsageError where it holds a run of others."""
    ours = json.dumps(identity(plan), sort_keys=True)
    theirs = ledger.about("identity") or ledger.about("identity", ours)
    if theirs == ours:
        return
    seed = None
    with suppress(ValueError, TypeError, KeyError, RecursionError):  # whatever stands there, it is no run of ours
        seed = json.loads(theirs or "{}")["seed"]
    what = f"seed {seed}" if seed != plan.config.seed else "other tasks, or another version of them"
    raise UsageError(f"{path} holds a run with {what}: choose another --out")


def check_shard(path: Path, shard: str | None) -> None:
    """Raise UsageError where a directory is that of a shard and the command is not for this shard, or the reverse."""
    try:
        earlier = read_run_json(path)["config"].get("shard")
    except UsageError:
        return  # there is none yet, or it is written anew
    if earlier != shard and earlier is not None:
        raise UsageError(
            f"{path} is shard {earlier} of a run: go on with it by --shard {earlier}, or choose another --out"
        )
    if earlier != shard:
        raise UsageError(f"{path} is a whole run and no shard of one: choose another --out")


def check_free(path: Path) -> None:
    """Raise UsageError where another process has a run directory: before work for it, and without making it."""
    if not (path / LOCK).exists() or (path / LOCK).is_symlink():
        return
    with suppress(OSError, NotImplementedError):  # told when the directory is opened
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
    """A run directory that is there, held by this process until it is closed: to write files of the run."""

    def __init__(self, path: Path) -> None:
        """Take it; raises UsageError where another process has it or nothing can be written there."""
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
            for folder in (path, self.videos):  # what a killed process had not finished writing
                with os.scandir(folder) as entries:  # a glob takes seconds where there are a million
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
        """Make what has to be there first."""

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
        """Remove files that do not belong to what the run is now; return those that were there."""
        found = tuple(name for name in names if (self.path / name).exists())
        for name in found:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise RunError(f"{self.path / name} cannot be removed: {_reason(error)}") from error
        return found

    def write_json(self, name: str, value: JSON) -> None:
        """Write a file of the run as JSON, whole or not at all."""
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run, whole or not at all; raises RunError where the disk refuses."""
        try:
            write_whole(self.path / name, text.encode("utf-8"))
        except OSError as error:
            raise RunError(f"{self.path / name} cannot be written: {_reason(error)}") from error


class RunDirectory(HeldDirectory):
    """An open run directory with its ledger, held by this process until it is closed."""

    def __init__(self, path: Path, plan: Plan) -> None:
        """Open or make it; raises UsageError where that cannot be, or another process or another run has it."""
        super().__init__(path)
        try:
            check_shard(path, plan.config.shard)
            self.ledger = Ledger(path / "ledger.sqlite")
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

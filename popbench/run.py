"""A run directory: one process at a time, its ledger, and the files that tell what came of it."""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import filelock

from popbench.errors import RunError, UsageError, damage, one_line
from popbench.files import SMALL, read_json, read_text
from popbench.keys import digest
from popbench.ledger import Ledger
from popbench.plan import Plan
from popbench.records import JSON, Sample
from popbench.samples import read_jsonl

if TYPE_CHECKING:
    import datasets
    import pandas as pd

LOCK, HOLDER = ".lock", ".holder"
"""What says that a process has a run directory: the file that it locks, and the one that names it."""
_WRITTEN = (
    LOCK, HOLDER, "videos", "errors.log", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm",
)  # fmt: skip
"""What is written in place: a link there would have a stranger's run directory write elsewhere."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
RUNS = Path("runs")
"""Where run directories are made by default, below the working directory."""

_PACKAGES = (
    "popbench", "torch", "diffusers", "transformers", "sentence-transformers", "faiss-cpu", "scipy", "numpy",
    "datasets", "jinja2", "av", "json-repair", "openai", "accelerate", "tokenizers", "llguidance", "bitsandbytes",
)  # fmt: skip


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
        there = read_json(path / "run.json")["config"].get("shard")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # there is none yet, or it is written anew
    if there != shard and there is not None:
        raise UsageError(f"{path} is shard {there} of a run: go on with it by --shard {there}, or choose another --out")
    if there != shard:
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
        holder = one_line(read_text(path / HOLDER, SMALL), 100)
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
        partial = self.path / f".{name}.part"
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.path / name)
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


def describe(plan: Plan, started: float, timings: Mapping[str, float] | None = None) -> dict[str, JSON]:
    """Return the content of run.json; without timings the run is not finished, and its files are older than it."""
    return {
        "schema": 1,
        "finished": timings is not None,
        "demo": plan.demo,
        "config": plan.config.as_json(),
        "tasks": {
            task.name: {
                "hash": task.hash,
                "group": task.group,
                "n": len(plan.prompts[task.name]),
                "prompts": len(task.prompts),
                "version": task.file.version,
                "draft": task.rules,
            }
            for task in plan.tasks
        },
        "modes": {
            mode.label: {
                "name": mode.name,
                "options": mode.options.determining(),
                "templates": {
                    task.name: plan.task_modes[task.name, mode.label].template.fingerprint for task in plan.tasks
                },
                "fingerprints": {task.name: plan.task_modes[task.name, mode.label].fingerprint for task in plan.tasks},
            }
            for mode in plan.modes
        },
        "notes": plan.notes,
        "references": plan.references_about,
        "components": {
            f"{part.resolved.spec.kind} {part.label}": {
                "spec": part.resolved.spec.text,
                "fingerprint": part.fingerprint,
            }
            for part in plan.parts
        },
        "systems": plan.fingerprints,
        "predictors": {part.label: part.digest for part in plan.predictors},
        "units": {part.label: part.resolved.component.unit for part in plan.predictors},
        "versions": {"python": platform.python_version(), **package_versions()},
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "gpus": _gpus()},
        "timings": {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)), **(timings or {})},
    }


def package_versions() -> dict[str, str]:
    """Return the installed versions of popbench and of what results may depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _gpus() -> list[str]:
    """Name the GPUs if this run had use for torch; asking is not worth importing it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@dataclass(frozen=True)
class Run:
    """A finished (or stopped) run: where it is and what came of it.

    `n` counts its samples, `errors` those without a result, `invalid` those that score 0; `problems` says, in one
    line each, which components ended early; `costs` what the drafts of its samples took, by LLM. `removed` names
    the files of an earlier board that a run with `stop_after` took away; `logged` says whether errors.log got
    tracebacks of this run.
    """

    path: Path
    demo: bool
    n: int = 0
    errors: int = 0
    invalid: int = 0
    problems: tuple[str, ...] = ()
    costs: tuple[Mapping[str, JSON], ...] = ()
    removed: tuple[str, ...] = ()
    logged: bool = False
    reasons: tuple[tuple[str, int], ...] = ()
    """Why samples are invalid, with their number, the commonest first; of very many, not all."""

    @property
    def complete(self) -> bool:
        """Whether every sample has a result."""
        return not self.errors and not self.problems

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """All statistics (results.json); None where the run stopped before scoring, or no prompt is complete."""
        path = self.path / "results.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def samples(self) -> Iterator[Sample]:
        """Read the samples one by one."""
        return read_jsonl(self.path / "samples.jsonl")

    def to_pandas(self) -> pd.DataFrame:
        """Return the samples as a pandas DataFrame, one row each."""
        import pandas as pd

        from popbench.samples import as_dict

        return pd.DataFrame([as_dict(sample) for sample in self.samples()])

    def to_dataset(self) -> datasets.Dataset:
        """Return the samples as a `datasets.Dataset`, one row each; `scores` and the like stay structs."""
        import datasets

        from popbench.samples import as_dict

        return datasets.Dataset.from_list([as_dict(sample) for sample in self.samples()])

"""The runs and boards of a folder as the page shows them: their states, and the indexes of those that are looked at."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from popbench.errors import PopbenchError, damage
from popbench.files import opened
from popbench.records import JSON
from popbench.report.html import unturned
from popbench.runs.directory import HOLDER
from popbench.runs.heartbeat import FILE as SUMS_FILE
from popbench.runs.heartbeat import Sums
from popbench.runs.run_json import FILE as RUN_FILE
from popbench.runs.run_json import read_run_json
from popbench.runs.status_reading import holder, read_status
from popbench.view.at_work import SamplesAtWork
from popbench.view.find import Found, file_of, find
from popbench.view.finished import DAMAGE, FinishedSamples
from popbench.view.finished import FILE as SAMPLES_FILE
from popbench.view.index import Row

OPEN = 4
"""Indexes that are kept: those of the runs that were looked at last."""
NEWEST = 12
"""Clips that are shown of a run at work as they come."""
_SEARCH_EVERY = 3.0
"""Seconds between two searches of the folder."""
_LOG, _LOG_BYTES = "errors.log", 6000
_LEDGER = "ledger.sqlite"
_WATCHED = (RUN_FILE, _LEDGER, f"{_LEDGER}-wal", HOLDER, SUMS_FILE, SAMPLES_FILE)

Samples = FinishedSamples | SamplesAtWork


class Runs:
    """What is below a folder. Every method may be called by any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._found, self._searched = Found(), float("-inf")
        self._states: dict[str, tuple[object, dict[str, JSON]]] = {}
        self._open: OrderedDict[str, tuple[object, Samples]] = OrderedDict()

    def found(self) -> Found:
        """Return the runs and boards, searched for anew every few seconds."""
        with self._lock:
            if time.monotonic() - self._searched > _SEARCH_EVERY:
                self._found = find(self.folder)
                self._searched = time.monotonic()
                for name in [name for name in self._states if name not in self._found.runs]:
                    del self._states[name]
            return self._found

    def path(self, name: str) -> Path | None:
        """Return the directory of a run by its name; None for any other text."""
        return self.found().runs.get(name)

    def overview(self) -> dict[str, JSON]:
        """Return the states of all runs, and the names of boards."""
        found = self.found()
        runs = [self.state(name, path) for name, path in found.runs.items()]
        return {"folder": str(self.folder), "runs": runs, "boards": list(found.boards), "cut": found.cut}

    def state(self, name: str, path: Path) -> dict[str, JSON]:
        """Return the state of a run; that of one on which nothing works is read again only if its files changed."""
        stamp = tuple(_stamp(path / file) for file in _WATCHED)
        before, state = self._states.get(name, (None, {}))
        if stamp != before or state.get("holder") is not None:
            state = _state(name, path)
            self._states[name] = stamp, state
        return state

    def details(self, name: str) -> dict[str, JSON] | None:
        """Return what the page of one run shows beside its samples; None if there is no such run."""
        path = self.path(name)
        if path is None:
            return None
        samples = self.samples(name)
        assert samples is not None
        samples.refresh()
        live = isinstance(samples, SamplesAtWork)
        return {
            "folder": str(self.folder),
            "state": self.state(name, path),
            "live": live,
            "newest": [shown(row) for row in samples.index.newest(NEWEST)] if live else [],
            "errors": _errors(path) if live else {},
            "results": file_of(path, "results.json") is not None and not live,
            "samples": {
                "n": len(samples.index),
                "version": samples.index.version,
                "complete": samples.complete,
                "share": samples.done / samples.total if samples.total else 0.0,
                "problem": samples.problem,
            },
        }

    def samples(self, name: str) -> Samples | None:
        """Return the samples of a run, which are indexed from now on; None if there is no such run."""
        path = self.path(name)
        if path is None:
            return None
        state = self.state(name, path)
        file = file_of(path, SAMPLES_FILE)
        over = state["state"] in ("finished", "incomplete") or (state["state"] == "unreadable" and file is not None)
        stamp = (path, _stamp(path / SAMPLES_FILE) if over and file is not None else "at work")
        with self._lock:
            before, samples = self._open.get(name, (None, None))
            if samples is None or before != stamp:
                if samples is not None:
                    samples.close()
                samples = SamplesAtWork(path, lambda: holder(path)) if stamp[1] == "at work" else FinishedSamples(path)
                self._open[name] = stamp, samples
            self._open.move_to_end(name)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)[1][1].close()
        return samples

    def close(self) -> None:
        """Close all indexes."""
        with self._lock:
            for _, samples in self._open.values():
                samples.close()
            self._open.clear()


def shown(row: Row) -> dict[str, JSON]:
    """Return a line of an index as the page gets it, without characters that turn the text around them."""
    values = {name: unturned(value) for name, value in row._asdict().items() if name != "offset"}
    # What a sample is addressed by has to come back as it is.
    return values | {"system": row.system, "task": row.task, "prompt_id": row.prompt_id}


def _stamp(path: Path) -> object:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ino


def _state(name: str, path: Path) -> dict[str, JSON]:
    """Read the state of a run as `popbench status` does; one that cannot be read is `unreadable`."""
    unreadable: dict[str, JSON] = {"name": name, "state": "unreadable", "holder": None, "stages": []}
    try:
        if (path / _LEDGER).is_symlink():
            raise PopbenchError("its ledger is a link, and links that may lead out of the run are not followed")
        if _needs_writing(path):
            raise PopbenchError("its ledger was copied in the middle of work: `popbench status` reads it once")
        run_json: Any = read_run_json(path)
        status = read_status(path)
    except PopbenchError as error:
        return unreadable | {"problem": str(error).removeprefix(f"{path}: ")}
    except DAMAGE as error:
        return unreadable | {"problem": damage(error)}
    state = status.as_json()
    if status.state == "stopped" and status.killed:
        state["state"] = "killed"
    del state["run"]  # its path
    config = run_json["config"]
    return {
        **state,
        "name": name,
        "demo": run_json["demo"],
        "systems": list(run_json["systems"]),
        "tasks": {task: entry["n"] for task, entry in run_json["tasks"].items()},
        "samples": len(run_json["systems"]) * config["repeats"] * sum(task["n"] for task in run_json["tasks"].values()),
        "units": {predictor: run_json["units"][predictor] for predictor in run_json["predictors"]},
        "real": list(run_json.get("scales") or {}),
        "stop_after": config.get("stop_after"),
    }


def _needs_writing(path: Path) -> bool:
    """Say whether SQLite could read a ledger only by writing beside it: there is a log, and the log's index is not."""
    log = path / f"{_LEDGER}-wal"
    try:
        return log.stat().st_size > 0 and not (path / f"{_LEDGER}-shm").exists()
    except OSError:
        return False


def _errors(path: Path) -> dict[str, JSON]:
    """Return what went wrong in a run that is not finished: errors of items with their numbers, the end of its log."""
    sums = Sums.read(path)
    counts = sorted(sums.errors.items(), key=lambda item: (-item[1], item[0])) if sums else []
    return {"items": [[unturned(text), number] for text, number in counts], "log": unturned(_end_of_log(path))}


def _end_of_log(path: Path) -> str:
    log = file_of(path, _LOG)
    if log is None:
        return ""
    try:
        with opened(log) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > _LOG_BYTES else text

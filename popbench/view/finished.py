"""Indexes a finished run's samples.jsonl in a thread, and reads single samples by where their lines start."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from popbench.errors import damage
from popbench.files import MAX_LINE_BYTES, opened
from popbench.records import JSON, Sample
from popbench.runs.samples import read_sample
from popbench.view.clips import clip_file
from popbench.view.index import LONGEST, Index, Row

FILE = "samples.jsonl"
DAMAGE = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, OSError, sqlite3.Error,
)  # fmt: skip
"""Exceptions that damaged files, and a full disk, may cause."""
_FIRST, _BATCH = 200, 2000
"""Lines that are put into the index at once: few at first, so that a page has something to show."""
_LARGEST = 2**53


class FinishedSamples:
    """The samples of a samples.jsonl. `ready` is set when the first of them are in the index."""

    def __init__(self, path: Path) -> None:
        self.index = Index()
        self.problem: str | None = None
        self.ready = threading.Event()
        self.done = 0
        self.total = 0
        """Bytes of the file that were read, and all of them."""
        self._path = path / FILE
        self._over = False
        self._thread = threading.Thread(target=self._read, name=f"index of {path.name}", daemon=True)
        self._thread.start()

    @property
    def complete(self) -> bool:
        """Whether every sample is in the index."""
        return not self._thread.is_alive()

    def refresh(self) -> None:
        """Do nothing: the file does not change."""

    def sample(self, row: Row) -> Sample | str:
        """Return a whole sample, or in one line why it cannot be read."""
        try:
            with opened(self._path) as file:
                file.seek(row.offset)
                return read_sample(file.readline(MAX_LINE_BYTES))
        except (OSError, ValueError) as error:
            return f"its line of {FILE} cannot be read ({damage(error)})"

    def close(self) -> None:
        """End the reading, and give the memory back."""
        self._over = True
        self._thread.join()
        self.index.close()

    def _read(self) -> None:
        try:
            self._read_rows()
        except DAMAGE as error:
            self.problem = f"{FILE} cannot be read ({damage(error)})"
        finally:
            self.ready.set()

    def _read_rows(self) -> None:
        rows: list[Row] = []
        most, bad = _FIRST, 0
        self.total = self._path.stat().st_size
        for number, (offset, line) in enumerate(_lines(self._path), 1):
            if self._over:
                return
            try:
                rows.append(row_of(json.loads(line), offset))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                bad += 1
                self.problem = self.problem or f"{FILE}: line {number} is no sample ({damage(error)})"
            if len(rows) >= most:
                self._put(rows, offset)
                rows, most = [], _BATCH
        self._put(rows, self.total)
        if bad > 1:
            self.problem = f"{self.problem}, and {bad - 1:,} more"

    def _put(self, rows: list[Row], done: int) -> None:
        self.index.put(rows)
        self.done = done
        self.ready.set()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        offset = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("a line is too long")
            yield offset, line
            offset += len(line)


def row_of(values: Any, offset: int) -> Row:
    """Return what the index keeps of a line of samples.jsonl; raises ValueError or TypeError where it is no sample."""
    repeat = values["repeat"]
    if type(repeat) is not int or not 0 <= repeat < _LARGEST:
        raise ValueError(f"repeat is {repeat!r:.50}")
    texts: Callable[[str], str] = lambda name: text_of(values[name])  # noqa: E731
    return Row(
        system=texts("system"),
        task=texts("task"),
        prompt_id=texts("prompt_id"),
        repeat=repeat,
        category=texts("category"),
        status=texts("status"),
        score=number_of(values.get("popularity")),
        at=0.0,
        title=text_of(values.get("title") or "")[:LONGEST],
        prompt=texts("prompt")[:LONGEST],
        clip=clip_file(values.get("video")),
        error=text_of(values["error"])[:LONGEST] if values.get("error") else None,
        offset=offset,
    )


def text_of(value: JSON) -> str:
    """Return a text as it can be sent, without halves of characters; raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def number_of(value: JSON) -> float | None:
    """Return a finite number as a float; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, str | bool) else None

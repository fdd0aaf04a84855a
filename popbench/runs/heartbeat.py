"""The ledger's sums in a file, for `popbench status` on other machines.

SQLite's files cannot be read from another machine while they are written, since its processes share memory. So the
process that works on a run writes the sums into a file of their own, every few seconds.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pydantic

from popbench.errors import RunError, one_line
from popbench.files import read_text
from popbench.ledger.ledger import Ledger
from popbench.runs.directory import RunDirectory

FILE = ".sums.json"
EVERY = 5.0
"""Seconds between two writings; longer if adding up takes more than a twentieth of that."""
LATELY = (300.0, 3600.0)
"""Seconds that rates are measured over: the last minutes, or the last hour if too little was done in these."""

_ERRORS = 20
"""Errors that are told at most."""

ResultCount = tuple[str, str, str, str, str, int, float, int, int, int]
"""System, task, mode, stage, status; the number of results, the moment of the latest, numbers since three moments."""


def moments(started: float, now: float) -> tuple[float, ...]:
    """Return the moments since which results are counted, in unix time: the start of a run, and those of `LATELY`."""
    return started, *(max(now - seconds, started) for seconds in LATELY)


class Sums(pydantic.BaseModel):
    """A ledger's sums as they were `at` a moment of its machine's clock (unix time)."""

    at: float = pydantic.Field(ge=0, le=1e11)
    settled: list[ResultCount] = []
    spent: list[tuple[str, str, int, float, float]] = []
    used: list[tuple[str, str, int | float]] = []
    submitted: dict[str, int] = {}
    errors: dict[str, int] = {}
    """Items without a result by what went wrong, the commonest; errors are in no ledger."""

    @classmethod
    def of(cls, ledger: Ledger, started: float, now: float) -> Self:
        """Read the sums of a ledger. Raises RunError if it cannot be read."""
        rows = ledger.sums(*moments(started, now))
        settled = [(key.system, key.task, key.mode, key.stage, *numbers) for key, *numbers in rows]
        sums = {"at": now, "settled": settled, "spent": ledger.spent(), "used": ledger.used(),
                "submitted": ledger.in_flight()}  # fmt: skip
        try:
            return cls.model_validate(sums)
        except ValueError as error:
            raise ledger.damaged("its sums are no numbers") from error

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the sums that a run's process wrote last; None if it has not written any."""
        try:
            return cls.model_validate_json(read_text(path / FILE))
        except (OSError, ValueError):
            return None


class Heartbeat:
    """Writes a ledger's sums every few seconds, in a thread, while the context is open.

    `errors` are those of the pipeline at work, by item; it may be set, and grow, at any time.
    """

    def __init__(self, directory: RunDirectory, started: float) -> None:
        self._directory = directory
        self._started = started
        self.errors: Mapping[Any, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            began = time.monotonic()
            with suppress(RunError, ValueError):  # a full disk and a damaged ledger are told by those that need them
                sums = Sums.of(self._directory.ledger, self._started, time.time())
                sums.errors = _commonest([*self.errors.values()])
                self._directory.write_text(FILE, sums.model_dump_json())
            pause = max(EVERY, 20 * (time.monotonic() - began))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._directory.remove(FILE)


def _commonest(errors: Sequence[str]) -> dict[str, int]:
    return {one_line(error): number for error, number in Counter(errors).most_common(_ERRORS)}

"""Collects the rows of a table that cannot be used, so that one message tells all kinds of their faults."""

from __future__ import annotations

from popbench.errors import UsageError
from popbench.tables import UNREADABLE
from popbench.text import counted
from popbench_microlens.tally import Tally


class Faults:
    """Faults of a table's rows by kind, each with its count and its first description."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._kinds: dict[str, tuple[int, int, str]] = {}
        self._rows: set[int] = set()

    def add(self, row: int, kind: str, problem: str) -> None:
        """Count a fault: its row, its kind, such as `comments is empty`, and what is wrong, with the row's number."""
        count, first, first_problem = self._kinds.get(kind, (0, row, problem))
        self._kinds[kind] = count + 1, first, first_problem
        self._rows.add(row)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def error(self, last: int) -> UsageError:
        """Return the error that tells all of them, and what to do; `last` is the number of the last good row."""
        hint = "on_error=skip leaves such rows out"
        if UNREADABLE in self._kinds:
            hint += ", quoting=lenient reads quotes in any place"
        if len(self._rows) == 1:
            problems = "; ".join(problem for _, _, problem in self._kinds.values())
            return UsageError(f"{self._source}: {problems} ({hint})")
        kinds = "; ".join(f"{problem} ({counted(count, 'row')})" for count, _, problem in self._kinds.values())
        return UsageError(
            f"{self._source}: {len(self._rows):,} of {max(last, *self._rows):,} rows cannot be used: {kinds} ({hint})"
        )

    def report(self, tally: Tally) -> None:
        """Count the skipped rows in a tally."""
        for kind, (count, first, _) in self._kinds.items():
            tally.add(self._source, "row", f"skipped because {kind}", f"row {first:,}", count)

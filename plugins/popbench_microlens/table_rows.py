"""Reads the values of a table's rows, and tells those that cannot be used from the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from popbench.errors import UsageError
from popbench.tables import NumberedRow, PointWatch
from popbench_microlens.faults import Faults
from popbench_microlens.table_options import TableOptions
from popbench_microlens.values import BadValueError, popularity, text

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_PARTS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be used, of whatever part; `values` are its texts by option."""

    number: int
    id: str
    part: str
    popularity: int | float
    values: Mapping[str, str]


class Quotes:
    """Watches texts in which quotes are ordinary characters, to find out whether they are those of CSV after all."""

    def __init__(self) -> None:
        self._doubled = self._loose = False

    def see(self, texts: Iterable[str]) -> None:
        """Take note of texts."""
        for cell in texts:
            if cell.startswith('"'):
                whole = _QUOTED.fullmatch(cell) is not None
                self._loose = self._loose or not whole
                self._doubled = self._doubled or (whole and '""' in cell[1:-1])

    @property
    def are_of_csv(self) -> bool:
        """Whether all quoted texts are quoted as in CSV, and one has a quote in it, which is doubled there."""
        return self._doubled and not self._loose


class TableRows:
    """The rows of a table. `read` yields them with their numbers and tells of those that cannot be read at all."""

    def __init__(self, options: TableOptions, read: Callable[[Faults], Iterator[NumberedRow]]) -> None:
        self._options = options
        self._read = read
        self.number = 0
        """The number of the last row that can be used; 0 if there was none."""

    def chosen(self) -> Mapping[str, int]:
        """Return the number of the row to take for each id."""
        best: dict[str, tuple[float, int]] = {}
        for row in self.valid(Faults(""), None):
            earlier = best.get(row.id)
            if self._options.dedupe == "max":
                better = earlier is None or row.popularity > earlier[0]
            else:
                better = earlier is None or self._options.dedupe == "last"
            if better:
                best[row.id] = row.popularity, row.number
        return {id_: number for id_, (_, number) in best.items()}

    def valid(self, faults: Faults, watch: PointWatch | None) -> Iterator[Row]:
        """Yield the rows that can be used; `faults` is told of the others, `watch` of the texts of popularity."""
        wanted, form = self._options.columns, self._options.form
        self.number = 0
        for number, row in self._read(faults):
            problems: list[tuple[str, BadValueError]] = []
            values: dict[str, str] = {}
            count: int | float = 0
            for option, column in wanted.items():
                value = row.get(column)
                try:
                    if option == "popularity":
                        count = popularity(value, form)
                        if watch is not None and isinstance(value, str | int):
                            watch.see(str(value))
                    else:
                        values[option] = self._value(option, value)
                except BadValueError as error:
                    if not error.certain:  # whatever is to be done with faults: this one may be a good number
                        raise UsageError(f"{self._options.path}: row {number:,}: {column} {error}") from None
                    problems.append((column, error))
            for column, problem in problems:
                faults.add(number, f"{column} {problem.kind}", f"row {number:,}: {column} {problem}")
            if not problems:
                self.number = number
                part = _PARTS[values["parts"].lower()] if "parts" in values else "test"
                yield Row(number, values.get("id", str(number)), part, count, values)

    @staticmethod
    def _value(option: str, value: Any) -> str:
        """Return a value as text; raises BadValueError if it is none, or not one of this option."""
        try:
            found = text(value)
        except ValueError as error:
            raise BadValueError(str(error), "is no text") from None
        if option == "id" and not found:
            raise BadValueError("is empty: every row needs an id", "is empty")
        if option == "parts" and found.lower() not in _PARTS:
            raise BadValueError(f"{found!r} is no part (possible: {', '.join(_PARTS)})", "is no part")
        return found

"""Rows of CSV and TSV files, also as spreadsheets write them: with a byte order mark, semicolons, or a line `sep=;`."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from popbench.errors import UsageError, one_line
from popbench.files import read_lines

Quoting = Literal["strict", "lenient", "none"]
"""How quotes are read: as CSV has them; the same, but in any place; or as ordinary characters."""
_SEP = re.compile(r'\s*"?sep=(.)"?\s*[,;\t]*\s*', re.IGNORECASE)
_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical line"}

UNREADABLE = "it cannot be read"
"""The kind of fault of a row whose quotes are not those of CSV."""
Fault = Callable[[int, str, str], None]
"""Takes a row's number, the kind of its fault, and what is wrong with its place."""


class Delimited:
    """A CSV or TSV file. Methods raise UsageError for one that cannot be read, OSError and ValueError."""

    def __init__(self, path: Path, quoting: Quoting | None, longest: int) -> None:
        self._path = path
        self._tabs = path.suffix.lower() == ".tsv"
        self._quoting: Quoting = quoting or ("none" if self._tabs else "strict")
        self._longest = longest
        self._reader: Any = None
        self._skipped = 0
        self._lines_of_row: list[str] = []
        self._sign = ","

    def header(self) -> list[str]:
        """Return the names of the columns, without outer blanks; cells without a name are ''."""
        csv.field_size_limit(self._longest)  # one for the whole process, which other readers may have raised
        lines = _lines(self._path)
        first = next(lines, "")
        while first and not first.strip():
            self._skipped += 1
            first = next(lines, "")
        separator = "\t" if self._tabs else ""
        if match := _SEP.fullmatch(first):
            separator = match[1]
            self._skipped += 1
            first = next(lines, "")
        separator = self._sign = separator or self._separator(first)
        self._reader = csv.reader(
            self._noted(first, lines),
            delimiter=separator,
            quoting=csv.QUOTE_NONE if self._quoting == "none" else csv.QUOTE_MINIMAL,
            strict=self._quoting == "strict",
        )
        try:
            names = [name.strip() for name in next((cells for cells in self._reader if any(cells)), [])]
        except csv.Error as error:
            raise UsageError(f"{self._path}: the table cannot be read: {one_line(str(error))}") from error
        if len(names) == 1:
            self._refuse_other_separator(names[0], separator)
        return names

    def _separator(self, line: str) -> str:
        """Return the separator of a CSV file by its header: the comma, unless semicolons are more."""
        unquoted = re.sub(r'"[^"]*"', "", line)
        return ";" if unquoted.count(";") > unquoted.count(",") else ","

    def _noted(self, first: str, lines: Iterator[str]) -> Iterator[str]:
        """Yield the lines, and note those of the row that is being read."""
        for line in chain([first] if first else [], lines):
            if self._quoting == "lenient":
                self._lines_of_row.append(line)
            yield line

    def _refuse_open_quote(self, lines: list[str]) -> None:
        """Raise UsageError if a quote in the last row was not closed: only a strict reader tells that itself."""
        if len(lines) > 1:
            try:
                list(csv.reader(lines, delimiter=self._sign, strict=True))
            except csv.Error as error:
                if "unexpected end" in str(error):
                    first = self._reader.line_num + self._skipped - len(lines) + 1
                    raise UsageError(f"{self._path}: line {first:,}: a quote is not closed") from error

    def _refuse_other_separator(self, name: str, separator: str) -> None:
        other = next((sign for sign in _NAMES if sign != separator and sign in name), None)
        if other is not None:
            ways = {"\t": "name it .tsv", "|": "put sep=| before it as a line"}
            way = ways.get(other, "name it .csv" if self._tabs else "take the quotes round its lines away")
            raise UsageError(f"{self._path}: its separator seems to be {_NAMES[other]}: {way}")

    def rows(self, names: list[str], fault: Fault, *, short_rows: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each row's number, from 1, with its cells by name. Rows of empty cells are skipped.

        `fault` is told of a row with too many cells or, unless `short_rows`, too few; if it
        returns, the row is skipped.
        """
        number = 0
        while True:
            before, lines_before = self._reader.line_num + self._skipped, self._lines_of_row
            self._lines_of_row = []
            try:
                cells = next(self._reader)
            except StopIteration:
                self._refuse_open_quote(lines_before)
                return
            except csv.Error as error:
                line = self._reader.line_num + self._skipped
                if "unexpected end" in str(error):  # all lines since the quote are lost
                    problem = f"line {line:,} cannot be read: {one_line(str(error))}: a quote is not closed"
                    raise UsageError(f"{self._path}: {problem}") from error
                number += 1
                fault(number, UNREADABLE, f"row {number:,} (line {line:,}) cannot be read: {one_line(str(error))}")
                continue
            if not any(map(str.strip, cells)):
                continue
            number += 1
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            if len(cells) > len(names) or (len(cells) < len(names) and not short_rows):
                line, last = before + 1, self._reader.line_num + self._skipped
                place = f"line {last:,}" if line >= last else f"lines {line:,} to {last:,}"
                fault(
                    number,
                    "it has not as many fields as the header",
                    f"row {number:,} ({place}) has {len(cells)} fields and the header {len(names)}: a value with the "
                    "separator or a line break in it needs quotes",
                )
                continue
            yield number, {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _lines(path: Path) -> Iterator[str]:
    """Yield a file's lines, also of one whose lines end with a carriage return alone."""
    for line in read_lines(path):
        if "\r" in line[:-2]:
            yield from re.findall(r"[^\r]*\r\n?|[^\r]+", line)
        else:
            yield line

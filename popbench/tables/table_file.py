"""A file with one table, of any format. No file is loaded whole, and no types are guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage, one_line
from popbench.tables.delimited import Delimited, Fault, Quoting
from popbench.tables.json_rows import json_lines
from popbench.tables.parquet import Parquet

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""Formats by the ending of a file's name, in lower case."""
_MAX_FIELD = 2**31 - 1
"""The most characters of a CSV field."""
_HEADER_ROWS = 100
"""The number of JSONL rows that column names are taken from, because a row may leave out empty columns."""

NumberedRow = tuple[int, dict[str, Any]]


class TableFile:
    """A file with one table. Every method raises UsageError for a file that it cannot read.

    `quoting` is for CSV and TSV; without it, quotes are those of CSV, and ordinary characters in TSV. With
    `short_rows`, a row may leave out its last cells. `longest_field` is in characters.
    """

    def __init__(
        self, path: Path, quoting: Quoting | None = None, *, short_rows: bool = False, longest_field: int = _MAX_FIELD
    ) -> None:
        self.path = path
        self.format = FORMATS.get(path.suffix.lower(), "")
        self._quoting = quoting
        self._short_rows = short_rows
        self._longest_field = longest_field

    def columns(self) -> list[str]:
        """Return the names of the columns from the header, the schema or the first rows. No more is read."""
        with self._usage_errors():
            if self.format == "csv":
                return self._distinct(self._delimited().header())
            if self.format == "parquet":
                with Parquet(self.path) as file:
                    return self._distinct(file.names)
            return list(dict.fromkeys(name for _, row in islice(self._json(), _HEADER_ROWS) for name in row))

    def labelled(self) -> frozenset[str]:
        """Return the columns whose values are class labels, by the metadata of a Parquet file."""
        if self.format != "parquet":
            return frozenset()
        with self._usage_errors(), Parquet(self.path) as file:
            return frozenset(file.labels)

    def rows(
        self, columns: Sequence[str], fault: Fault | None = None, most: int | None = None
    ) -> Iterator[NumberedRow]:
        """Yield every row's number, from 1, with its values; Parquet files are read for `columns` alone.

        `fault` is told of rows of a CSV file that cannot be read; without it, UsageError is raised. It is raised for
        a Parquet file of more than `most` rows, because a small one can hold billions of equal rows.
        """
        with self._usage_errors():
            if self.format == "csv":
                file = self._delimited()
                names = self._distinct(file.header())
                yield from file.rows(names, fault or self._refuse, short_rows=self._short_rows)
            elif self.format == "parquet":
                with Parquet(self.path) as table:
                    if most is not None and table.n > most:
                        raise UsageError(f"{self.path}: {table.n:,} rows, of {most:,} at most")
                    self._distinct(table.names)
                    yield from table.rows(columns)
            else:
                yield from self._json()

    def _delimited(self) -> Delimited:
        return Delimited(self.path, self._quoting, self._longest_field)

    def _json(self) -> Iterator[NumberedRow]:
        return ((number, row) for number, (_, row) in enumerate(json_lines(self.path), 1))

    def _refuse(self, _number: int, _kind: str, problem: str) -> None:
        raise UsageError(f"{self.path}: {problem}")

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        try:
            yield
        except UsageError:
            raise
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: is no UTF-8 text ({error.reason}): save it as UTF-8") from error
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read ({one_line(error)})") from error
        except Exception as error:  # the readers' own errors have no common base
            raise UsageError(f"{self.path}: cannot be read ({damage(error)})") from error

    def _distinct(self, names: list[str]) -> list[str]:
        twice = next((name for index, name in enumerate(names) if name and name in names[:index]), None)
        if twice is not None:
            raise UsageError(f"{self.path}: column {twice!r} stands there twice: rename one")
        return names

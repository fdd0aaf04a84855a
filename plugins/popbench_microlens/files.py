"""Reads tables row by row from CSV, TSV, JSONL and Parquet. No file is loaded whole, and no types are guessed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench_microlens.lines import unreadable

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_MAX_FIELD = 2**31 - 1
"""The most characters of a CSV field."""
_HEADER_ROWS = 100
"""The number of JSONL rows that column names are taken from, because a row may leave out empty columns."""

NumberedRow = tuple[int, dict[str, Any]]


class TableFile:
    """A file with one table. Every method raises UsageError for a file that it cannot read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.format = FORMATS.get(path.suffix.lower(), "")

    def columns(self) -> list[str]:
        """Return the names of the columns from the header, the schema or the first rows. No more is read."""
        with self._usage_errors():
            if self.format == "csv":
                with self._csv() as rows:
                    return self._header(rows)
            if self.format == "parquet":
                return self._distinct(self._parquet().schema_arrow.names)
            return list(dict.fromkeys(name for _, row in islice(self._json(), _HEADER_ROWS) for name in row))

    def rows(self, columns: Sequence[str]) -> Iterator[NumberedRow]:
        """Yield every row's number, from 1, with its values. Parquet files are read for `columns` alone."""
        with self._usage_errors():
            if self.format == "csv":
                yield from self._csv_rows()
            elif self.format == "parquet":
                yield from self._parquet_rows(columns)
            else:
                yield from self._json()

    @contextmanager
    def _usage_errors(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: not UTF-8 text ({error.reason}): save it as UTF-8") from error
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _distinct(self, names: list[str]) -> list[str]:
        if len(names) == 1 and names[0].count(";") > 0:
            raise UsageError(f"{self.path}: its separator seems to be a semicolon: save it with commas, or as .tsv")
        twice = next((name for index, name in enumerate(names) if name and name in names[:index]), None)
        if twice is not None:
            raise UsageError(f"{self.path}: column {twice!r} stands there twice: rename one")
        return names

    @contextmanager
    def _csv(self) -> Iterator[Any]:
        delimiter = "\t" if self.path.suffix.lower() == ".tsv" else ","
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(_MAX_FIELD)  # the module's own is 128 KiB
            yield csv.reader(file, delimiter=delimiter, strict=True)

    def _header(self, rows: Any) -> list[str]:
        for header in self._cells(rows, 0):
            return self._distinct([name.strip() for name in header])
        return []

    def _csv_rows(self) -> Iterator[NumberedRow]:
        with self._csv() as rows:
            header = self._header(rows)
            for number, cells in enumerate(self._cells(rows, 1), 1):
                if len(cells) != len(header):
                    raise UsageError(
                        f"{self.path}: row {number:,} (line {rows.line_num:,}) has {len(cells)} fields and the header "
                        f"{len(header)}: a value with the separator or a line break in it needs quotes"
                    )
                yield number, dict(zip(header, cells, strict=True))

    def _cells(self, rows: Any, first: int) -> Iterator[list[str]]:
        """Yield the cells of every line that is not empty."""
        try:
            yield from (cells for cells in rows if cells)
        except csv.Error as error:
            place = "the table" if first == 0 else f"line {rows.line_num:,}"
            raise UsageError(f"{self.path}: {place} cannot be read: {one_line(str(error))}") from error

    def _json(self) -> Iterator[NumberedRow]:
        number = 0
        with self.path.open(encoding="utf-8-sig", newline="\n") as file:
            for line_number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise UsageError(
                        f"{self.path}: line {line_number:,}: not JSON ({one_line(str(error), 120)})"
                    ) from None
                if not isinstance(row, dict):
                    raise UsageError(
                        f"{self.path}: line {line_number:,}: not a JSON object: expected one on every line"
                    )
                number += 1
                yield number, row

    def _parquet(self) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except pyarrow.ArrowException as error:
            raise UsageError(f"{self.path}: no Parquet file ({one_line(str(error), 120)})") from error

    def _parquet_rows(self, columns: Sequence[str]) -> Iterator[NumberedRow]:
        import pyarrow

        number = 0
        with self._parquet() as file:
            try:
                for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(columns))):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
            except (pyarrow.ArrowException, UnicodeDecodeError) as error:
                after = f"after row {number:,}" if number else "its rows"
                raise UsageError(f"{self.path}: {after} cannot be read ({one_line(str(error), 120)})") from error

"""Writes a table in every form in which people keep one, and tells typed one-line refusals from accidents."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from popbench.errors import UsageError

Rows = Sequence[Mapping[str, Any]]


def _delimited(path: Path, rows: Rows, **how: Any) -> Path:
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as file:
        file.write(how.pop("before", ""))
        writer = csv.DictWriter(file, list(rows[0]), **how)
        writer.writeheader()
        writer.writerows(rows)
        file.write(how.get("after", ""))
    return path


def _plain_tsv(path: Path, rows: Rows) -> Path:
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    path.write_text("".join("\t".join(cells) + "\n" for cells in lines), encoding="utf-8")
    return path


def _spreadsheet(path: Path, rows: Rows) -> Path:
    """Write what a spreadsheet of a country with decimal commas exports: a mark, `sep=`, semicolons, empty rows."""
    _delimited(path, rows, delimiter=";", lineterminator="\r\n", encoding="utf-8-sig", before="sep=;\r\n")
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(";" * (len(rows[0]) - 1) + "\r\n")
    return path


def _semicolons(path: Path, rows: Rows) -> Path:
    return _delimited(path, rows, delimiter=";", lineterminator="\r\n", encoding="utf-8-sig")


def _jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _parquet(kind: pa.DataType | None) -> Callable[[Path, Rows], Path]:
    """Write numbers as `kind`, and texts as a dictionary where there is none."""

    def write(path: Path, rows: Rows) -> Path:
        columns: dict[str, Any] = {}
        for name in rows[0]:
            values = [row[name] for row in rows]
            if not isinstance(values[0], int | float):
                columns[name] = pa.array(values).dictionary_encode() if kind is None else pa.array(values)
            elif kind is not None and pa.types.is_decimal(kind):
                columns[name] = pa.array([Decimal(str(value)).quantize(Decimal("0.001")) for value in values], kind)
            else:
                columns[name] = pa.array(values, kind or pa.float64())
        pq.write_table(pa.table(columns), path)
        return path

    return write


FORMS: dict[str, tuple[str, Callable[[Path, Rows], Path]]] = {
    "csv": ("a.csv", _delimited),
    "upper case": ("A.CSV", _delimited),
    "tsv": ("a.tsv", _plain_tsv),
    "semicolons": ("a.csv", _semicolons),
    "spreadsheet": ("a.csv", _spreadsheet),
    "jsonl": ("a.jsonl", _jsonl),
    "ndjson": ("a.NDJSON", _jsonl),
    "floats": ("a.parquet", _parquet(pa.float64())),
    "small floats": ("a.parquet", _parquet(pa.float32())),
    "decimals": ("a.parquet", _parquet(pa.decimal128(12, 3))),
    "dictionary": ("A.PARQUET", _parquet(None)),
}
WHOLE_FORMS = {
    **FORMS,
    "integers": ("a.parquet", _parquet(pa.int64())),
    "integers of 32": ("a.parquet", _parquet(pa.int32())),
}


def told(call: Callable[[], object]) -> str:
    """Return the refusal of a call, which is one line; '' if it did not refuse. Other exceptions pass."""
    line = ""
    with suppress(UsageError):
        try:
            call()
        except UsageError as error:
            line = str(error) or " "
            raise
    assert line == "" or line.strip()
    assert "\n" not in line
    return line

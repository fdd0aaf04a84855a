"""Rows of data sets, with values as they were written: `007`, `1e5`, `NA` and dates stay these texts.

`datasets` guesses types: its reader of CSV by pandas, that of JSON by Arrow. So CSV is read as text, and JSON
without Arrow.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.files import read_bytes
from popbench.records import JSON
from popbench.tables import label_of, parse_json, parse_object

_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def is_json(builder: Any) -> bool:
    """Return whether a builder of `datasets` reads JSON, of columns that nobody declared."""
    from datasets.packaged_modules.json.json import Json

    return isinstance(builder, Json) and not builder.info.features


def as_text(builder: Any) -> Mapping[str, Any]:
    """Return the arguments by which a builder of `datasets` reads CSV as text; none for other builders."""
    import datasets
    import pandas as pd
    from datasets.packaged_modules.csv.csv import Csv

    if not isinstance(builder, Csv) or builder.info.features:
        return {}
    config = builder.config
    files = [file for files in config.data_files.values() for file in files]
    first = files[0]
    how = {name: value for name, value in config.pd_read_csv_kwargs.items() if name != "chunksize"}
    names = [str(name) for name in pd.read_csv(first, **{**how, "nrows": 0}).columns]
    if config.header == "infer" and config.names is None:  # pandas renames the second of two columns
        header = pd.read_csv(first, **{**how, "header": None, "nrows": 1, "na_filter": False}, dtype=str)
        cells = [str(cell) for cell in header.iloc[0]]
        twice = next((cell for number, cell in enumerate(cells) if cell and cell in cells[:number]), None)
        if twice is not None:
            raise UsageError(f"{first}: column {twice!r} stands there twice: rename one")
    features = datasets.Features({name: datasets.Value("string") for name in names})
    found: dict[str, Any] = {"features": features, "keep_default_na": False, "na_filter": False}
    if config.index_col is None:
        found["index_col"] = False  # else a separator at the ends of rows would shift all values by one column
    if config.sep == "\t" and config.quotechar == '"' and any(map(_has_quotes_as_text, files)):
        found["quoting"] = csv.QUOTE_NONE
    return found


def _has_quotes_as_text(file: str) -> bool:
    """Return whether quotes in a file of tab-separated values are ordinary characters.

    They are if all lines have as many cells, and one begins with a quote without being quoted as in CSV.
    """
    lines = read_bytes(Path(file)).decode("utf-8", "replace").split("\n")
    rows = [line.removesuffix("\r").split("\t") for line in lines if line.strip()]
    if len({len(cells) for cells in rows}) != 1:
        return False
    return any(cell.startswith('"') and not _QUOTED.fullmatch(cell) for cells in rows for cell in cells)


def rows_of(data: Any) -> list[dict[str, Any]]:
    """Return the rows of a data set; class labels are their names."""
    import datasets

    features = data.features or {}
    if all(isinstance(feature, datasets.Value | datasets.ClassLabel) for feature in features.values()):
        rows = data.to_list()
    else:
        rows = [dict(row) for row in data]  # images and the like are decoded row by row
    others = {name: feature for name, feature in features.items() if not isinstance(feature, datasets.Value)}
    for row in rows if others else ():
        for name, feature in others.items():
            row[name] = _named(row[name], feature)
    return list(rows)


def _named(value: Any, feature: Any) -> Any:
    """Return a value with class labels, its own or those of the items of a list, by their names."""
    if hasattr(feature, "names"):
        return Label.of(value, feature.names)
    if isinstance(value, list) and hasattr(feature, "feature"):
        return [_named(item, feature.feature) for item in value]
    return value


class Label(str):
    """The name of a class label, which knows its number, since a filter may name either."""

    __slots__ = ("number",)
    number: int

    @classmethod
    def of(cls, value: Any, names: Sequence[str]) -> Any:
        """Return the label of a number; None for -1 and for none; raises ValueError for a number without a name."""
        name = label_of(value, names)
        if not isinstance(value, int) or name is None:
            return name
        label = cls(name)
        label.number = value
        return label


class Truth(str):
    """What was written as `true` or `false` in JSON: filters and categories compare it as text."""

    __slots__ = ()


MAX_DEPTH = 32
"""Levels of lists and objects in a value."""


def plain_json(value: Any, depth: int = 0) -> JSON:
    """Return a value of a row as JSON of Python's own types; raises ValueError with what it is instead."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Truth):
        return value == "true"
    if isinstance(value, str):
        text = str.__str__(value)
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError("half a surrogate pair, which is no valid text")
        return text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{float(value)}, which is no JSON: null stands for nothing")
        return float(value)
    if depth == MAX_DEPTH and isinstance(value, list | tuple | dict):
        raise ValueError(f"a value of more than {MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        return [plain_json(item, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {plain_json(name): plain_json(item, depth + 1) for name, item in value.items()}
    raise ValueError(f"a {type(value).__name__}, which is no JSON: text, numbers, lists and objects are")


def read_json_rows(builder: Any, split: str, most: int) -> list[dict[str, Any]]:
    """Return the rows of a split of JSON files that a builder of `datasets` has found, of at most `most`.

    Raises UsageError for too many of them, ValueError for files that are no JSON and for a split that is not there.
    """
    import datasets

    config = builder.config
    rows = {
        str(name): [row for file in files for row in _rows(Path(file), config.field, config.encoding)]
        for name, files in config.data_files.items()
    }
    for name, of_split in rows.items():
        if len(of_split) > most:
            raise UsageError(f"data set {name!r} has {len(of_split):,} rows, of {most:,} at most")
    parts = datasets.ReadInstruction.from_spec(split).to_absolute({name: len(rows[name]) for name in rows})
    chosen = [row for part in parts for row in rows[part.splitname][part.from_ : part.to]]
    columns = dict.fromkeys(name for row in chosen for name in row)
    return [{name: row.get(name) for name in columns} for row in chosen]


def _rows(file: Path, field: str | None, encoding: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file: one a line, a list of them, or an object of columns; of `field` if it is given."""
    text = read_bytes(file).decode(encoding).removeprefix("\ufeff")
    try:
        values = [parse_json(text)] if text.strip() else []
    except ValueError as error:
        if field is not None or "Extra data" not in str(error):
            raise ValueError(f"{file.name}: no JSON ({error})") from None
        lines = enumerate(text.split("\n"), 1)
        yield from (
            _row(parse_object(line, f"{file}: line {number:,}"), file, number) for number, line in lines if line.strip()
        )
        return
    for value in values:
        if field is not None:
            value = value[field]
        if isinstance(value, dict) and value and all(isinstance(cells, list | dict) for cells in value.values()):
            value = _of_columns(value)
        rows = value if isinstance(value, list) else [value]
        yield from (_row(row, file, number) for number, row in enumerate(rows, 1))


def _of_columns(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an object of columns, each a list or an object of cells."""
    cells = {name: list(column.values() if isinstance(column, dict) else column) for name, column in value.items()}
    if len({len(column) for column in cells.values()}) > 1:
        raise ValueError("its columns have different lengths")
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _row(value: Any, file: Path, number: int) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise ValueError(f"{file.name}: row {number:,} is no JSON object")
    return {name: Truth(str(cell).lower()) if isinstance(cell, bool) else cell for name, cell in value.items()}

"""Rows of Parquet files. A column of class labels (`ClassLabel` of `datasets`) has their names as values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, one_line
from popbench.files import opened

_BATCH = 4096


class Parquet:
    """A Parquet file, opened; `close` it, or use it in a `with` statement. Raises UsageError if it is none."""

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self._path = path
        self._data = opened(path)
        try:
            self._file = pyarrow.parquet.ParquetFile(self._data)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            self._data.close()
            raise UsageError(f"{path}: no Parquet file, it cannot be read ({one_line(str(error), 120)})") from error

    def __enter__(self) -> Parquet:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._data.close()

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self._file.schema_arrow.names)

    @property
    def n(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    @property
    def labels(self) -> dict[str, Sequence[str]]:
        """The names of class labels by column, from the file's metadata."""
        metadata = self._file.schema_arrow.metadata or {}
        try:
            features = json.loads(metadata[b"huggingface"])["info"]["features"]
            found = {
                name: feature["names"]
                for name, feature in features.items()
                if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
            }
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
            return {}  # no metadata of `datasets`, or damaged ones
        return {name: names for name, names in found.items() if is_names(names)}

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each row's number, from 1, with the values of some columns."""
        import pyarrow

        number, labels = 0, self.labels
        wanted = list(dict.fromkeys(columns))
        narrow = [
            field.name for field in self._file.schema_arrow if field.type in (pyarrow.float16(), pyarrow.float32())
        ]
        narrow = [name for name in narrow if name in wanted]
        try:
            for batch in self._file.iter_batches(batch_size=_BATCH, columns=wanted):
                shortest = {name: [_shortest(value) for value in batch.column(name)] for name in narrow}
                for at, row in enumerate(batch.to_pylist()):
                    number += 1
                    row |= {name: values[at] for name, values in shortest.items()}
                    yield number, self._named(row, labels, number)
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError, OverflowError) as error:
            after = f"after row {number:,}" if number else "its rows"
            raise UsageError(f"{self._path}: {after} cannot be read ({one_line(str(error), 120)})") from error

    def _named(self, row: dict[str, Any], labels: Mapping[str, Sequence[str]], number: int) -> dict[str, Any]:
        for column, value in row.items():
            if isinstance(value, bytes):  # some writers do not mark texts as such
                row[column] = value.decode("utf-8")
            elif column in labels:
                try:
                    row[column] = label_of(value, labels[column])
                except ValueError as error:
                    raise UsageError(f"{self._path}: row {number:,}: {column} {error}") from None
        return row


def _shortest(value: Any) -> float | None:
    """Return a number of less than 64 bits with the fewest digits that tell it: 1.1, and not 1.100000023841858."""
    plain = value.as_py()
    if plain is None or not math.isfinite(plain):
        return plain  # type: ignore[no-any-return]
    import numpy as np

    return float(str((np.float16 if value.type.bit_width == 16 else np.float32)(plain)))


def is_names(names: Any) -> bool:
    """Return whether a value is a list of labels' names."""
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def label_of(value: Any, names: Sequence[str]) -> Any:
    """Return the name of a class label by its number; None for -1 and for none; raises ValueError for other numbers."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if not -1 <= value < len(names):
        raise ValueError(f"{value} is no label (0 to {len(names) - 1})")
    return None if value == -1 else names[value]

"""JSON of tables: numbers keep the digits they were written with, and a key that stands twice is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from popbench.errors import UsageError, damage
from popbench.files import read_lines


class Written(float):
    """A number of JSON with a point or an exponent; as text it is what was written: `1.10`, `1e5`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Written:
        """Read a number from its text."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return Written, (self.text,)


def parse_json(text: str) -> Any:
    """Parse JSON; raises ValueError or RecursionError for other texts, and for an object with a key given twice."""
    return _DECODER.decode(text)


def parse_object(text: str, place: str) -> dict[str, Any]:
    """Parse the JSON object of a line; raises UsageError that starts with its place."""
    try:
        value = parse_json(text)
    except _TwiceError as error:
        raise UsageError(f"{place}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is no JSON ({damage(error)})") from None
    if not isinstance(value, dict):
        raise UsageError(f"{place} is no JSON object")
    return value


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSONL file; raises UsageError that names the line with none."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            yield number, parse_object(line, f"{path}: line {number:,}")


class _TwiceError(ValueError):
    """A key that stands twice in an object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"key {twice!r} stands there twice: remove one")
    return value


_DECODER = json.JSONDecoder(parse_float=Written, object_pairs_hook=_object)

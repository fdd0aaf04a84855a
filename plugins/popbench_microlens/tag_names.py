"""Reads the names of tags that a table has by number, such as YouTube's categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from popbench.errors import UsageError
from popbench.tables import FORMATS, TableFile, parse_json, text_of
from popbench_microlens.lines import unreadable

_LARGEST = 2**24
"""Bytes of a JSON file that are read; a longer one is then no JSON."""
ENDINGS = (".json", *FORMATS)


def read_names(path: Path) -> Mapping[str, str]:
    """Return names by id. Raises UsageError for a file that cannot be read as a map of them.

    A JSON file holds an object of names, or a list of objects with `id` and `name`, `title` or, as in the answers of
    YouTube's API, `snippet.title`; the list may be the value of `items`. Of a table, the first two columns are read.
    """
    pairs = _of_json(path) if path.suffix.lower() == ".json" else _of_table(path)
    names: dict[str, str] = {}
    for id_, name in pairs:
        if not id_ or not name:
            raise UsageError(f"{path}: {f'tag {id_!r} has no name' if id_ else f'tag name {name!r} has no id'}")
        if names.setdefault(id_, name) != name:
            raise UsageError(f"{path}: tag {id_!r} has two names, {names[id_]!r} and {name!r}")
    if not names:
        raise UsageError(f"{path}: holds no names of tags")
    return names


def _of_json(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = parse_json(path.read_bytes()[:_LARGEST].decode("utf-8-sig"))
        items = content.get("items", content) if isinstance(content, dict) else content
        if isinstance(items, dict):
            items = [{"id": id_, "name": name} for id_, name in items.items()]
        if not isinstance(items, list):
            raise TypeError(type(items))
        for item in items:
            yield text_of(item["id"]).strip(), text_of(_name(item)).strip()
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        expected = "a JSON object of names by id, or a list of objects with id and name"
        raise UsageError(f"{path}: holds no names of tags: expected {expected}") from error


def _name(item: Mapping[str, Any]) -> Any:
    for key in ("name", "title"):
        if key in item:
            return item[key]
    return item["snippet"]["title"]


def _of_table(path: Path) -> Iterator[tuple[str, str]]:
    file = TableFile(path)
    columns = [name for name in file.columns() if name][:2]
    if len(columns) < 2:
        raise UsageError(f"{path}: expected a column of ids and one of names")
    for number, row in file.rows(columns):
        try:
            id_, name = (text_of(row.get(column)).strip() for column in columns)
        except ValueError as error:
            raise UsageError(f"{path}: row {number:,}: {error}") from None
        yield id_, name

"""Reads the further fields that a task's drafts have, and says what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping

from popbench.prompting.invisible import strip_invisible, whole
from popbench.records import JSON, MAX_POPULARITY
from popbench.tasks.schema import DraftField

_LARGEST_INTEGER = 2**63 - 1


def read_fields(found: Mapping[str, JSON], fields: Mapping[str, DraftField]) -> tuple[dict[str, JSON], str]:
    """Return the values of `fields` in an answer's object, and what is wrong with the first that has none, or nothing.

    Texts lose the invisible characters at their ends, as titles do. Null counts as missing.
    """
    values: dict[str, JSON] = {}
    for name, of in fields.items():
        value = found.get(name)
        if value is None:
            return {}, f"{name} missing"
        values[name] = _read(value, of.type)
        if values[name] is None:
            return {}, f"{name} is no {of.type}{' of texts' if of.type == 'array' else ''}"
    return values, ""


def _read(value: JSON, kind: str) -> JSON:
    """Return a value of a JSON type; None if it is of another, or too large a number."""
    if kind == "array":
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return [strip_invisible(whole(item)) for item in value] if fits else None
    if kind == "string":
        return strip_invisible(whole(value)) if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_POPULARITY:  # NaN too
        return None
    if kind == "integer":
        return int(value) if value == int(value) and abs(value) <= _LARGEST_INTEGER else None
    return value

"""Texts and truth values of cells, whatever type their column has."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from popbench.errors import one_line

_TRUE = frozenset({"true", "yes", "y", "t", "1", "1.0", "ja", "j", "wahr"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "0.0", "nein", "falsch"})


def text_of(value: Any) -> str:
    """Return a value as text: what was written; a missing value is empty.

    A number of a Parquet column has no written form: there a whole number gets no decimals. Raises ValueError for
    lists, objects and bytes.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict | tuple | bytes):
        raise ValueError(f"{one_line(repr(value), 60)} is no text")
    if type(value) is float:
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def truth_of(text: str) -> bool | None:
    """Return what a text says: true, yes, ja, 1, or false, no, nein, 0, in any case; None if it is empty.

    Raises ValueError for any other text.
    """
    folded = text.strip().casefold()
    if folded not in _TRUE | _FALSE | {""}:
        raise ValueError(f"{one_line(text, 60)!r} is neither true nor false")
    return folded in _TRUE if folded else None

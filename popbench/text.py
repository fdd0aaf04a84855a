"""Texts for users: numbers with their nouns, amounts of money, and texts made safe for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10


def visible(text: str) -> str:
    """Return a text that cannot steer a terminal: control and direction characters become their escape codes."""
    return text if text.isprintable() else "".join(map(_visible, text))


_KEPT, _SPACES = "\n\u200c\u200d", "\t\u00a0\u202f\u3000"
"""Kept: line ends, joiners and non-joiners. Shown as a space: other blanks."""


def _visible(char: str) -> str:
    if char.isprintable() or char in _KEPT:
        return char
    return " " if char in _SPACES else char.encode("unicode_escape").decode("ascii")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 sample`, `2 samples`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def tokens(usage: Mapping[str, int]) -> str:
    """Return token counts in words: `12,000 input and 900 output tokens`."""
    return " and ".join(f"{usage[kind]:,} {kind}" for kind in ("input", "output") if kind in usage) + " tokens"


def dollars(amount: float) -> str:
    """Return an amount of USD with two decimals, or two significant digits below a cent."""
    digits = 2 if amount >= 0.01 or amount == 0 else 1 - floor(log10(amount))
    return f"${amount:,.{digits}f}"

"""Words for the user: numbers with their nouns, amounts, and texts that are safe on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10


def visible(text: str) -> str:
    """Return a text for a terminal: what would move its cursor, or turn what is written around, as its code."""
    return text if text.isprintable() else "".join(map(_visible, text))


_KEPT, _SPACES = "\n\u200c\u200d", "\t\u00a0\u202f\u3000"
"""Line ends, what joins or parts letters and emoji, and blanks."""


def _visible(char: str) -> str:
    if char.isprintable() or char in _KEPT:
        return char
    return " " if char in _SPACES else char.encode("unicode_escape").decode("ascii")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 sample` and `2 samples`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def tokens(usage: Mapping[str, int]) -> str:
    """Write token counts out, as in `12,000 input and 900 output tokens`."""
    return " and ".join(f"{usage[kind]:,} {kind}" for kind in ("input", "output") if kind in usage) + " tokens"


def dollars(amount: float) -> str:
    """Write an amount of USD: in cents, or with as many digits as a smaller one takes."""
    digits = 2 if amount >= 0.01 or amount == 0 else 1 - floor(log10(amount))
    return f"${amount:,.{digits}f}"

"""Texts for users: numbers with their nouns, amounts of money, and texts made safe for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
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


BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as an empty space; `isspace` knows none of them."""
UNSEEN = frozenset(map(chr, (0x34F, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0xE0100, 0xE01F0))))
"""Marks that are not drawn at all. (Format characters have a category of their own, `Cf`.)"""
_VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_HYPHENS = str.maketrans("\u2010\u2011", "--")


def as_seen(name: str) -> str:
    """Return what is seen of a name: two names that look the same have the same result, which is not to be shown.

    Spaces of all kinds count as one, at the ends of a part as none; characters that are not drawn do not count.
    """
    if name.isascii() and name.isprintable() and "  " not in name and name == name.strip() and " |" not in name:
        return name if "| " not in name else "|".join(part.strip() for part in name.split("|"))
    drawn = "".join(
        " " if char.isspace() or char in BLANKS else char
        for char in unicodedata.normalize("NFC", name).translate(_HYPHENS)
        if char.isspace() or not (unicodedata.category(char) in ("Cf", "Cc") or char in UNSEEN or char in _VARIANTS)
    )
    return "|".join(" ".join(part.split()) for part in drawn.split("|"))


def look_alike(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two different names that look the same; None if there are none."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(as_seen(name), name)
        if other != name:
            return other, name
    return None


def first_line(doc: str | None) -> str:
    """Return the first line of a docstring."""
    return (doc or "").strip().partition("\n")[0]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 sample`, `2 samples`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


_TOKENS = ("input", "output")


def tokens(usage: Mapping[str, float]) -> str:
    """Return token counts in words: `12,000 input and 900 output tokens`."""
    return " and ".join(f"{usage[kind]:,} {kind}" for kind in _TOKENS if kind in usage) + " tokens"


def amounts(usage: Mapping[str, float]) -> str:
    """Return what calls took in words: `900 input and 40 output tokens, 12.5 video seconds`."""
    kinds = [f"{number:,.10g} {kind.replace('_', ' ')}" for kind, number in usage.items() if kind not in _TOKENS]
    return ", ".join([*([tokens(usage)] if len(kinds) < len(usage) else []), *kinds])


def dollars(amount: float) -> str:
    """Return an amount of USD with two decimals, or two significant digits below a cent."""
    digits = 2 if amount >= 0.01 or amount == 0 else 1 - floor(log10(amount))
    return f"${amount:,.{digits}f}"

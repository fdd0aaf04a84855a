"""Finds what a reader of a text sees: spaces, controls, zero-width characters and fillers are nothing to see."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_BLANK = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x2800, 0x3164, 0xFFA0}.union(
        range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE1000)
    )
)
"""Characters of other categories that are drawn as nothing: joiners, fillers of Hangul and Braille, selectors, tags."""
_SELECTORS = frozenset([*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
"""They choose how the character before them looks."""
_JOINERS = "\u200c\u200d"
_BLACK_FLAG = "\U0001f3f4"
_TAGS = range(0xE0020, 0xE0080)
"""They follow a black flag, and make that of a region of it."""


@lru_cache(maxsize=4096)
def is_visible(char: str) -> bool:
    """Say whether a character is drawn. Unassigned characters and those of private use count as drawn."""
    return (
        unicodedata.category(char)[0] != "Z"
        and unicodedata.category(char) not in ("Cc", "Cf", "Cs")
        and (ord(char) not in _BLANK)
    )


def strip_invisible(text: str) -> str:
    """Remove what is not visible from both ends; empty if nothing is visible.

    What shapes the last visible character stays: selectors of emoji, tags of flags, joiners after a virama.
    """
    start = next((place for place, char in enumerate(text) if is_visible(char)), len(text))
    end = next((place for place in range(len(text), start, -1) if is_visible(text[place - 1])), start)
    last, stop = text[end - 1 : end], end
    if last == _BLACK_FLAG:
        while stop < len(text) and ord(text[stop]) in _TAGS:
            stop += 1
    elif last and stop < len(text):
        shapes = ord(text[stop]) in _SELECTORS or (text[stop] in _JOINERS and unicodedata.category(last)[0] == "M")
        stop += shapes
    return text[start:stop]


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def whole(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates, which cannot be written to files or sent to APIs."""
    joined: str = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return joined.encode("utf-8", "replace").decode("utf-8")

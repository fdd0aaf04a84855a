"""What changed in a text, word by word, for a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Kind = Literal["same", "gone", "new", "folded"]
_CONTEXT = 3
"""Lines beside a change that are kept where what is the same is folded."""
_LIKE = 0.5
"""How alike two lines have to be for their words to be compared: of unlike lines, one is gone and one is new."""
_LONGEST = 2000
"""Lines of more characters are compared as a whole."""


class Piece(NamedTuple):
    """A piece of text that is in both, in the first only, or in the second only; or a remark in place of some lines."""

    kind: Kind
    text: str


def differences(before: str, after: str) -> list[Piece]:
    """Return the pieces that lead from one text to another: without the new ones they are the first."""
    return _joined(_lines(before.splitlines(keepends=True), after.splitlines(keepends=True)))


def _lines(before: list[str], after: list[str]) -> Iterator[Piece]:
    for what, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            yield Piece("same", "".join(before[i:j]))
        elif what == "replace" and j - i == m - k:
            for old, new in zip(before[i:j], after[k:m], strict=True):
                yield from _words(old, new)
        else:
            yield Piece("gone", "".join(before[i:j]))
            yield Piece("new", "".join(after[k:m]))


def _words(before: str, after: str) -> Iterator[Piece]:
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if max(len(before), len(after)) > _LONGEST or matcher.ratio() < _LIKE:
        yield Piece("gone", before)
        yield Piece("new", after)
        return
    for what, i, j, k, m in matcher.get_opcodes():
        if what == "equal":
            yield Piece("same", "".join(old[i:j]))
        else:
            yield Piece("gone", "".join(old[i:j]))
            yield Piece("new", "".join(new[k:m]))


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    """Join neighbours of a kind, and leave out empty ones."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        elif piece.text:
            joined.append(piece)
    return joined


def folded(pieces: list[Piece]) -> list[Piece]:
    """Return pieces with long parts that are the same replaced by a remark, but for the lines beside a change."""
    short: list[Piece] = []
    for number, piece in enumerate(pieces):
        lines = piece.text.splitlines(keepends=True) if piece.kind == "same" else []
        head = _CONTEXT if number else 0
        tail = _CONTEXT if number < len(pieces) - 1 else 0
        left = len(lines) - head - tail
        if left < 2 * _CONTEXT:
            short.append(piece)
            continue
        remark = Piece("folded", f"{left} lines are the same")
        parts = (Piece("same", "".join(lines[:head])), remark, Piece("same", "".join(lines[len(lines) - tail :])))
        short += [part for part in parts if part.text]
    return short

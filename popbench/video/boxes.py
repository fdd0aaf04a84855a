"""Reads the boxes that an mp4 or mov is made of: a length, four letters that say what is in it, and its body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO


def boxes(file: BinaryIO, start: int, end: int, inside: Sequence[bytes] = ()) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start of the body and end of the boxes between two places, in order, up to one that is none.

    Instead of a box of the first kind `inside`, the boxes in it are yielded, of which the second kind is opened in the
    same way, and so on. Raises OSError.
    """
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        length, kind, body = int.from_bytes(head[:4], "big"), head[4:8], start + 8
        if length == 1:
            length, body = int.from_bytes(head[8:16], "big"), start + 16
        length = length or end - start
        if length < body - start or not kind.isalnum():
            return
        if inside and kind == inside[0]:
            yield from boxes(file, body, min(start + length, end), inside[1:])
        else:
            yield kind, body, start + length
        start += length

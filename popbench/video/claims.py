"""Checks the counts that an mp4's tables state: a small file may state samples that take gigabytes to list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from popbench.video.boxes import boxes

_INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
"""Boxes that hold boxes."""
_FEW = 5_000_000
"""Samples that may be listed, whatever the file's size: old compressed sound has more samples than bytes."""
_LONGEST = 2**28
"""Bytes of a table that are read at most: that of a clip of an hour has a few millions."""


def states_too_much(path: Path) -> bool:
    """Return whether an mp4 or mov states more samples than its bytes can hold; False for any other file.

    A picture has at least one byte, or an entry in a table. Raises OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for kind, start, end in boxes(file, 0, size):
            if kind in _INSIDE:
                file.seek(start)
                if any(count > max(size, _FEW) for count in _counts(file.read(min(end - start, _LONGEST)))):
                    return True
    return False


def _counts(data: bytes) -> Iterator[int]:
    """Yield the numbers of samples that tables state without an entry for each: only these can state anything."""
    start = 0
    while start + 8 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if length < 8:
            return
        body = data[start + 8 : start + length]
        if kind in _INSIDE:
            yield from _counts(body)
        elif kind == b"stsz" and any(body[4:8]):
            yield int.from_bytes(body[8:12], "big")
        elif kind == b"trun" and not int.from_bytes(body[1:4], "big") & 0xF00:
            yield int.from_bytes(body[4:8], "big")
        start += length

"""Posters of clips: made when they are asked for, and kept in memory as far as there is room."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path

from popbench.video import VideoError, poster

MOST_BYTES = 2**26
"""Bytes of posters that are kept: some thousands of them."""

_Stamp = tuple[str, int, int]
"""A file's path, size and time of change."""

_CLIP = re.compile(r"videos/([^/\x00]+\.mp4)")


def clip_file(video: object) -> str | None:
    """Return the name in `videos` of a sample's clip; None if it has none there, as a stranger's sample may."""
    match = _CLIP.fullmatch(video) if isinstance(video, str) else None
    return match[1] if match else None


class Posters:
    """JPEG pictures of clips, the least recently used of which are dropped when there are too many."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[_Stamp, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.made = 0
        """Pictures that were made, for tests."""

    def get(self, clip: Path) -> bytes | None:
        """Return the poster of a clip; None if it is no video that can be decoded."""
        try:
            about = clip.stat()
        except OSError:
            return None
        stamp = (str(clip), about.st_size, about.st_mtime_ns)
        with self._lock:
            if stamp in self._kept:
                self._kept.move_to_end(stamp)
                return self._kept[stamp] or None
        try:
            picture = poster(clip)
        except (VideoError, OSError):
            picture = b""
        with self._lock:
            self.made += 1
            if stamp not in self._kept:
                self._kept[stamp] = picture
                self._size += len(picture)
            while self._size > self._most or len(self._kept) > self._most // 1000:
                self._size -= len(self._kept.popitem(last=False)[1])
        return picture or None

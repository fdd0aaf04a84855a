"""Makes changed videos in a temporary folder when they are needed, and removes them once they are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from popbench.video import MAX_FPS, VideoError, read_frames, video_info, write_mp4

if TYPE_CHECKING:
    from numpy.typing import NDArray

Change = Literal["same", "reversed", "still", "black"]
"""Changes of a video that is re-encoded: none, frames in reverse order, the middle frame only, black frames.

None of them has sound, so that they differ in frames alone.
"""

MEMORY = 512 * 2**20
"""Bytes of decoded frames at most; of a longer video, evenly spaced frames are re-encoded."""


@dataclass(frozen=True, slots=True)
class Variant:
    """What a predictor is shown; with `change` None, the video is the unchanged file.

    `others` is the JSON of what it uses besides title and video.
    """

    title: str
    video: Path
    change: Change | None = None
    others: str = "{}"


class Clips:
    """The changed videos of some variants."""

    def __init__(self, folder: Path, variants: Iterable[Variant]) -> None:
        self._folder = folder
        self._left = Counter((variant.video, variant.change) for variant in variants)
        self._paths: dict[tuple[Path, Change | None], Path] = {}

    def path(self, variant: Variant) -> Path:
        """Return the file to score; raises VideoError if the video cannot be read, OSError if the disk is full."""
        if variant.change is None:
            return variant.video
        key = variant.video, variant.change
        if key not in self._paths:
            self._paths[key] = self._write(variant.video, variant.change)
        return self._paths[key]

    def done(self, variant: Variant) -> None:
        """Remove a changed video once all its variants are done."""
        key = variant.video, variant.change
        self._left[key] -= 1
        if not self._left[key] and key in self._paths and variant.change != "black":
            self._paths.pop(key).unlink(missing_ok=True)

    def _write(self, video: Path, change: Change) -> Path:
        info = video_info(video)
        seconds = info.seconds or 1.0
        most = max(2, MEMORY // (3 * info.width * info.height))
        if change == "black":
            # Videos of one size and length share the file; broadcasting keeps one frame in memory.
            count = min(info.frames, most)
            path = self._folder / f"black-{info.width}x{info.height}-{count}-{seconds:.6f}.mp4"
            if not path.exists():
                picture = np.zeros((1, info.height, info.width, 3), np.uint8)
                write_mp4(np.broadcast_to(picture, (count, *picture.shape[1:])), _rate(count, seconds), path)
            return path
        frames = read_frames(video, None if info.frames <= most else most)
        path = self._folder / f"{video.stem}.{change}.mp4"
        write_mp4(_changed(frames, change), _rate(len(frames), seconds), path)
        return path


def _rate(frames: int, seconds: float) -> float:
    return min(frames / seconds, float(MAX_FPS))


def _changed(frames: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Return the frames of a changed video; a still has as many frames as the original."""
    if change == "reversed":
        return frames[::-1]
    return np.broadcast_to(frames[len(frames) // 2], frames.shape) if change == "still" else frames


def duration(video: Path) -> float:
    """Return a video's length in seconds, to the millisecond; NaN if it cannot be read."""
    try:
        return round(video_info(video).seconds, 3)
    except VideoError:
        return float("nan")

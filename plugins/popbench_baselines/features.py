"""The features of the demonstration predictor: the form of a title, and the light and motion of a few frames.

They are computed in integers as far as possible, so that they are the same on every machine.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from popbench_baselines.titles import EMOTION, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = 10
"""The number of frames, evenly spaced over the video, first and last included."""

BUCKETS = 64
GRID = 8
_QUESTION_WORDS = "who what why when where how would is are do does can could which"
_QUESTION = frozenset(_QUESTION_WORDS.split())


def title_features(title: str) -> NDArray[np.float32]:
    """Return the features of a title: its form, and its words hashed into a few buckets."""
    words = words_of(title)
    form = [
        min(max(len(title), 20), 100) / 40,  # bounded, because the corpus has no shorter or longer titles
        min(max(len(words), 3), 18) / 8,
        float(title.rstrip().endswith(("?", "？"))),
        float(bool(words) and words[0] in _QUESTION),
        float(any(character.isdigit() for character in title)),
        float(any(word in EMOTION for word in words)),
        float("!" in title),
        min(max(sum(map(len, words)) / max(1, len(words)), 3), 8) / 6,
    ]
    bag = np.zeros(BUCKETS, np.float32)
    for word in words:
        bag[zlib.crc32(word.encode()) % BUCKETS] += 1
    return np.concatenate([np.array(form, np.float32), bag / np.float32(max(1, len(words)) ** 0.5)])


def thinned(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rows and columns of a frame that features are made of: those of a thinned one are the same."""
    stride = _stride(*frame.shape[:2])
    return frame[::stride, ::stride].copy()


def _stride(height: int, width: int) -> int:
    return max(1, min(height, width) // 44)


def video_features(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features of frames (n, height, width, 3): light, contrast, colour, motion, bright areas."""
    stride = _stride(*frames.shape[1:3])
    red, green, blue = (frames[:, ::stride, ::stride, plane].astype(np.int16) for plane in range(3))
    luma = (red * 5 + green * 9 + blue * 2) >> 4
    rows = np.arange(GRID + 1) * luma.shape[1] // GRID
    columns = np.arange(GRID + 1) * luma.shape[2] // GRID
    sums = np.add.reduceat(luma, rows[:-1], axis=1, dtype=np.int64)
    sums = np.add.reduceat(sums, columns[:-1], axis=2)
    cells = sums / np.maximum(1, np.diff(rows)[:, None] * np.diff(columns)) / 255
    steps = np.abs(np.diff(luma, axis=0)) if len(luma) > 1 else np.zeros_like(luma)
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = highest - lowest
    form = [
        luma.mean() / 255,
        luma.std() / 255,
        *(plane.mean() / 255 for plane in (red, green, blue)),
        spread.mean() / 255,
        float(np.count_nonzero(luma > 200)) / luma.size,
        float(np.count_nonzero(luma < 50)) / luma.size,
        np.sqrt(steps.mean() / 255),
        np.sqrt(float(np.count_nonzero(steps > 16)) / steps.size),
        np.sqrt(np.abs(np.diff(cells, axis=0)).mean()) if len(cells) > 1 else 0.0,
        cells.std(axis=0).mean(),
    ]
    brightness = cells.mean(axis=0).reshape(GRID // 2, 2, GRID // 2, 2).mean(axis=(1, 3)).ravel()
    return np.concatenate([np.array(form, np.float32), brightness.astype(np.float32)])


def features(title: str, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the features of a titled video as one row."""
    return np.concatenate([title_features(title), video_features(frames)])

"""Frames in memory: their shape and type, and whether they are black."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLACK_LEVEL = 16
"""A frame is black if no channel of any pixel is above this value (video black is 16 of 255)."""


class VideoError(Exception):
    """A file cannot be read as a video, or frames cannot be written as one; the message is one line."""


def check_frames(frames: Any) -> NDArray[np.uint8]:
    """Return `frames` as uint8 (frames, height, width, 3); raises VideoError that says what is wrong with them."""
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise VideoError(f"frames have shape {array.shape}, expected (frames, height, width, 3)")
    if array.dtype != np.uint8:
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise VideoError(f"frames hold NaN or infinite values ({array.dtype}): try a higher precision")
        raise VideoError(f"frames are {array.dtype}, expected uint8 values from 0 to 255")
    return array


def is_black(frames: NDArray[np.uint8]) -> bool:
    """Say whether all of `frames` (..., height, width, 3) are black."""
    return bool(frames.max() <= BLACK_LEVEL)


def message_of(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())

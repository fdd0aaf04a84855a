"""A picture that stands for a clip until it is played."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from popbench.video.frames import VideoError, message_of
from popbench.video.reading import map_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOOKED_AT = 5
_QUALITY = 5
"""The quantiser of JPEG, from 2 (best) to 31."""


def poster(path: Path | str, width: int = 480) -> bytes:
    """Return a JPEG of at most `width` pixels across: of five frames spread over the video, the one with most contrast.

    First frames are often black or blurred, so the first is not taken for being first. Raises VideoError if the file
    cannot be decoded.
    """
    frames = map_frames(path, _LOOKED_AT, lambda frame: _scaled(frame, width))
    return _jpeg(max(frames, key=lambda frame: float(frame.std())))


def _scaled(frame: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return a frame scaled down to a width, with even sides, which the encoder needs."""
    rows, columns, _ = frame.shape
    scale = min(1.0, width / columns)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    to = {"width": max(2, int(columns * scale) // 2 * 2), "height": max(2, int(rows * scale) // 2 * 2)}
    return picture.reformat(**to, format="rgb24").to_ndarray().astype(np.uint8, copy=False)


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    try:
        with av.open(written, "w", format="mjpeg") as file:
            stream: Any = file.add_stream("mjpeg", rate=1)
            stream.height, stream.width = frame.shape[:2]
            stream.pix_fmt = "yuvj420p"
            stream.codec_context.thread_count = 1
            stream.options = {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise VideoError(
            f"a picture of {frame.shape[1]}x{frame.shape[0]} cannot be encoded ({message_of(error)})"
        ) from error
    return written.getvalue()

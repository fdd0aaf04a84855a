"""Makes a still picture of a clip, which pages show until the clip is played."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.video.decoding import fitted, opened, pictures
from popbench.video.frames import BLACK_LEVEL, VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOOKED_AT = 48
"""Pictures that are decoded at most: a fade from black is over by then."""
_BRIGHT = 3 * BLACK_LEVEL
"""A picture with so bright a pixel value among its brightest hundredth is not one of a fade's first."""


def poster(path: Path | str, longest: int = 480) -> bytes:
    """Return a JPEG of a clip's first picture that is not nearly black, turned as a player shows it.

    Neither side has more than `longest` pixels. Where the first two seconds or so are dark, it is the brightest of
    these pictures. Raises VideoError if the file cannot be decoded or holds no picture.
    """
    with opened(path) as (file, stream):
        best, brightest = None, -1.0
        for picture in islice(pictures(file, stream), _LOOKED_AT):
            brightness = float(np.percentile(picture.to_ndarray(format="gray", width=64, height=64), 99))
            if brightness > brightest:
                best, brightest = picture, brightness
            if brightness >= _BRIGHT:
                break
        if best is None:
            raise VideoError(f"{path}: no frames in the file")
        return _jpeg(fitted(best, longest))


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    import av

    height, width = frame.shape[:2]
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "2", "qmax": "4"}
    context.thread_count = 1
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for sent in (picture, None) for packet in context.encode(sent))

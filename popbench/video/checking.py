"""Checks a clip that a generator has just made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from popbench.video.decoding import opened
from popbench.video.frames import BLACK_LEVEL, VideoError, is_black


def check_mp4(path: Path | str) -> bool:
    """Check that a file is a whole video, decoding no more of it than needed; return whether it is all black.

    Raises VideoError if it cannot be decoded, holds no frame, or is shorter than its header says.
    """
    with opened(path) as (file, stream):
        count, end = 0, 0.0
        decoded, black = False, True
        # The declared length is that of the longest stream, sound included.
        for packet in file.demux():
            if packet.is_corrupt:
                raise VideoError(f"{path}: the file is cut short (a packet is not complete)")
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not stream:
                continue
            count += packet.size > 0
            for picture in packet.decode() if black else ():
                decoded = True
                # In the form in which `read_frames` returns it: the stored samples mean something else in every pixel
                # format, and one bright picture ends the decoding.
                if _is_bright(picture) or not is_black(picture.to_ndarray(format="rgb24")):
                    black = False
                    break
        if count < stream.frames:
            raise VideoError(f"{path}: the file is cut short ({count} of {stream.frames} frames are there)")
        # Matroska and WebM declare a length, not a number of frames; it may count the last picture or not.
        declared = (file.duration or 0) / 1e6
        allowed = max(0.1, 2 * end / max(count, 1))
        if not stream.frames and end < declared - allowed:
            raise VideoError(f"{path}: the file is cut short ({end:.1f} of {declared:.1f} seconds are there)")
        if not decoded:
            raise VideoError(f"{path}: no frames in the file")
        return black


def _is_bright(picture: Any) -> bool:
    """Say from its luma whether a picture of the usual pixel format, with 8 bits, is surely not black.

    This takes a tenth of the time of converting it. At this luma, whatever the chroma, one channel is above 50.
    """
    if picture.format.name not in ("yuv420p", "yuvj420p"):
        return False
    luma = np.frombuffer(picture.planes[0], np.uint8)
    return bool(luma[: picture.height * picture.planes[0].line_size].max(initial=0) > 4 * BLACK_LEVEL)

"""Clips as a blind page holds them: pictures and sound as they are, and nothing else of the file."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from popbench.errors import damage
from popbench.files import read_bytes
from popbench.video import VideoError, video_info, write_mp4

_OPTIONS = {"fflags": "+bitexact"}
"""The file states no version of the tool that wrote it."""
_UNITS = {"h264": "6", "hevc": "39-40"}
"""Units of a stream that hold what an encoder writes about itself, by codec; HEVC has some in its header too."""
_BLACK_HEIGHT, _BLACK_FPS, _LONGEST = 240, 8, 60


def bare_clip(run: Path, video: str) -> bytes:
    """Return a clip of a run as an mp4 of its pictures and sound, without a change to either.

    Titles, comments, the names of tools and the settings that encoders write into H.264 are left out: they tell who
    made the clip. Raises VideoError if the file is missing, lies outside the run or is no video.
    """
    path = run / video
    try:
        if not path.resolve().is_relative_to(run.resolve()):
            raise VideoError("it lies outside of the run")
        data = read_bytes(path)
        video_info(path)
    except (OSError, ValueError, RuntimeError) as error:  # also for a path with NUL, and a link to itself
        raise VideoError(damage(error)) from error
    return _bare(data)


def _bare(data: bytes) -> bytes:
    written = io.BytesIO()
    try:
        with av.open(io.BytesIO(data), "r") as source, av.open(written, "w", format="mp4", options=_OPTIONS) as target:
            streams = [*source.streams.video[:1], *source.streams.audio[:1]]
            if not source.streams.video:
                raise VideoError("it has no pictures")
            copies: dict[int, Any] = {
                stream.index: target.add_stream_from_template(stream, opaque=True) for stream in streams
            }
            filters = {
                stream.index: av.BitStreamFilterContext(
                    f"filter_units=remove_types={units}", stream, copies[stream.index]
                )
                for stream in streams
                if (units := _UNITS.get(stream.codec_context.name))
            }
            for packet in source.demux(streams):
                if packet.dts is None:
                    continue
                kept = filters[packet.stream.index].filter(packet) if packet.stream.index in filters else [packet]
                for part in kept:
                    part.stream = copies[packet.stream.index]
                    target.mux(part)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(damage(error)) from error
    return written.getvalue()


def black_clip(run: Path, video: str) -> bytes:
    """Return a black clip without sound, of the shape and the length of a clip of a run; raises VideoError."""
    info = video_info(run / video)
    height = min(info.height, _BLACK_HEIGHT) // 2 * 2 or 2
    width = max(2, round(height * info.width / info.height / 2) * 2)
    count = max(2, round(_BLACK_FPS * min(info.seconds or 2, _LONGEST)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(np.zeros((count, height, width, 3), np.uint8), _BLACK_FPS, path)
        return _bare(path.read_bytes())

"""Writes mp4s whose bytes depend on the arguments alone."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.files import replacing
from popbench.video.frames import VideoError, check_frames, message_of
from popbench.video.sound import SoundTrack, check_sound, fit_sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENCODER: Mapping[str, Any] = {
    "codec": "libx264",
    "pix_fmt": "yuv420p",
    "preset": "superfast",
    "x264-params": "mbtree=0",
    "crf": 18,
    "gop": 24,
    "threads": 1,
    "version": 1,
}
"""All settings that an mp4's bytes depend on beside its frames: part of every clip's key.

The bytes that x264 writes depend on the number of threads, so it is fixed. Macroblock-tree rate control is off: with
it, the same frames gave different bytes from one call to the next (seen in x264's vectorised code). With groups of 24
pictures, seeking and decoding throughout are equally fast.
"""

MAX_FPS = 1000


def write_mp4(
    frames: NDArray[np.uint8],
    fps: float,
    path: Path,
    tags: Mapping[str, str] | None = None,
    *,
    sound: NDArray[np.float32] | None = None,
    sample_rate: int | None = None,
) -> None:
    """Encode `frames`, uint8 (frames, height, width, 3), as H.264 at `fps` with reproducible bytes.

    An odd width or height is padded by repeating the last column or row, since yuv420p needs even ones. `tags` become
    the file's metadata (`title`, `comment`, ...). `sound`, float32 (samples, channels) from -1 to 1, is encoded as AAC
    at its `sample_rate`, cut or filled with silence to the length of the frames; the frames are encoded as without it.
    The file is written whole or not at all. Raises VideoError for frames or sound that cannot be encoded, OSError if
    the disk refuses.
    """
    import av

    frames = check_frames(frames)
    rate = _rate(fps)
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    if sound is not None:
        sound = fit_sound(check_sound(sound, sample_rate), int(sample_rate or 0), len(frames) / float(rate))
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    try:
        # Without "file:", a folder named by a time, or by a URL, would be taken for a place on the network.
        with replacing(path, shared=True) as part, av.open(f"file:{part}", "w", format="mp4", options=options) as file:
            for key, value in (tags or {}).items():
                file.metadata[key] = value
            stream: Any = file.add_stream(ENCODER["codec"], rate=rate)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = ENCODER["pix_fmt"]
            stream.codec_context.thread_count = ENCODER["threads"]
            stream.codec_context.gop_size = ENCODER["gop"]
            stream.options = {key: str(ENCODER[key]) for key in ("preset", "crf", "x264-params")}
            track = None if sound is None else SoundTrack(file, sound, int(sample_rate or 0))
            for number, frame in enumerate(frames, 1):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                file.mux(stream.encode(picture))
                if track is not None:
                    track.write(number / float(rate))
            file.mux(stream.encode(None))
            if track is not None:
                track.end()
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno in errno.errorcode:
            raise
        raise VideoError(f"frames of {width}x{height} cannot be encoded ({message_of(error)})") from error


def _rate(fps: Any) -> Fraction:
    try:
        rate = Fraction(float(fps)).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_FPS or isinstance(fps, str):
        raise VideoError(f"fps is {fps!r}, expected a number above 0 and up to {MAX_FPS}")
    return rate

"""The one place that touches video files: writing reproducible mp4s and reading frames back.

It does not judge content beyond `is_black`, and knows nothing of models, requests or runs.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
"""Everything that decides an mp4's bytes beside its frames: part of every clip's key.

The bytes x264 writes depend on the number of threads, so that is fixed. Macroblock-tree rate control is off: with
it, the same frames gave different bytes from one call to the next (seen in x264's vectorised code). A group of 24
pictures makes seeking and decoding throughout equally fast.
"""

BLACK_LEVEL = 16
"""A frame is black when no channel of any pixel is above this value (video black is 16 of 255)."""


MAX_FPS = 1000


class VideoError(Exception):
    """A file is not a video that can be read, or frames are not what a video can be made of; one line."""


def check_frames(frames: Any) -> NDArray[np.uint8]:
    """Return `frames` as uint8 (frames, height, width, 3); raises VideoError that says what is wrong with it."""
    array = np.asarray(frames)
    if array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise VideoError(f"frames have shape {array.shape}, expected (frames, height, width, 3)")
    if array.dtype != np.uint8:
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise VideoError(f"frames hold NaN or infinite values ({array.dtype}): try a higher precision")
        raise VideoError(f"frames are {array.dtype}, expected uint8 values from 0 to 255")
    return array


def is_black(frames: NDArray[np.uint8]) -> bool:
    """Say whether every one of `frames` (..., height, width, 3) is black."""
    return bool(frames.max() <= BLACK_LEVEL)


def write_mp4(frames: NDArray[np.uint8], fps: float, path: Path, tags: Mapping[str, str] | None = None) -> None:
    """Encode `frames`, uint8 (frames, height, width, 3), as H.264 at `fps` with reproducible bytes.

    An odd width or height is padded by repeating the last column or row, since yuv420p needs even ones.
    `tags` become the file's metadata (`title`, `comment`, ...). The file appears under `path` only when it is
    complete. Raises VideoError for frames that are no video, OSError where the disk refuses.
    """
    import av

    frames = check_frames(frames)
    rate = _rate(fps)
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(
            str(partial), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
        ) as file:
            for key, value in (tags or {}).items():
                file.metadata[key] = value
            stream: Any = file.add_stream(ENCODER["codec"], rate=rate)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = ENCODER["pix_fmt"]
            stream.codec_context.thread_count = ENCODER["threads"]
            stream.codec_context.gop_size = ENCODER["gop"]
            stream.options = {key: str(ENCODER[key]) for key in ("preset", "crf", "x264-params")}
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                file.mux(stream.encode(picture))
            file.mux(stream.encode(None))
        partial.replace(path)
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno in errno.errorcode:
            raise
        raise VideoError(f"frames of {width}x{height} cannot be encoded ({_said(error)})") from error
    finally:
        partial.unlink(missing_ok=True)


def _rate(fps: Any) -> Fraction:
    try:
        rate = Fraction(float(fps)).limit_denominator(1001)
    except (TypeError, ValueError, OverflowError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_FPS or isinstance(fps, str):
        raise VideoError(f"fps is {fps!r}, expected a number above 0 and up to {MAX_FPS}")
    return rate


def read_frames(path: Path, count: int | None = None) -> NDArray[np.uint8]:
    """Decode `count` frames evenly spaced over the video, first and last included; all of them for None.

    Returns uint8 (count, height, width, 3). A video of fewer frames repeats some. Raises VideoError for a
    file that cannot be decoded or holds no frame.
    """
    import av

    if count is not None and count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    try:
        with _open(path) as file:
            # Pictures are converted after the choice: conversion costs more than decoding.
            pictures = list(file.decode(video=0))
            if not pictures:
                raise VideoError(f"{path}: no frames in the file")
            total = len(pictures)
            chosen = range(total) if count is None else np.linspace(0, total - 1, count).round().astype(int)
            return np.stack([pictures[index].to_ndarray(format="rgb24") for index in chosen])
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{path}: not a readable video ({_said(error)})") from error


def check_mp4(path: Path) -> bool:
    """Decode a finished file as far as is needed to know that it is a video; return whether it is all black.

    Raises VideoError for a file that cannot be decoded or holds no frame.
    """
    import av

    try:
        with _open(path) as file:
            declared = file.streams.video[0].frames
            found = 0
            decoded, black = False, True
            for packet in file.demux(video=0):
                found += packet.size > 0
                for picture in packet.decode() if black else ():
                    decoded = True
                    if _is_bright(picture) or not is_black(check_frames(picture.to_ndarray(format="rgb24")[None])):
                        black = False
                        break
            if found < declared:
                raise VideoError(f"{path}: the file is cut short ({found} of {declared} frames are there)")
            if not decoded:
                raise VideoError(f"{path}: no frames in the file")
            return black
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"{path}: not a readable video ({_said(error)})") from error


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file as a video; by content alone ffmpeg would take plain text for one."""
    import av

    with av.open(str(path), options={"format_whitelist": "mov,matroska,webm,avi"}) as file:
        if not file.streams.video:
            raise VideoError(f"{path}: no video stream in the file")
        file.streams.video[0].codec_context.thread_count = 1
        yield file


def _said(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _is_bright(picture: Any) -> bool:
    """Say quickly, from its luma, that a picture is surely not black; False means that it has to be looked at."""
    if not picture.format.name.startswith("yuv"):
        return False
    luma = np.frombuffer(picture.planes[0], np.uint8)
    return bool(luma.size and luma[: picture.height * picture.planes[0].line_size].max() > 4 * BLACK_LEVEL)


def copy(source: Path, target: Path) -> str:
    """Copy a file in one pass and return the SHA-256 of its bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(2**20):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

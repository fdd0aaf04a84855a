"""Opens a video file, picks its video stream, and decodes its pictures."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.video.claims import states_too_much
from popbench.video.frames import VideoError, message_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 36_000_000
"""The most pixels of a picture, which is 8K: a file of some kilobytes may state pictures of gigabytes."""
OPTIONS = {
    # Without it, ffmpeg would also open plain text, and playlists that name other files.
    "format_whitelist": "mov,matroska,webm,avi",
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PIXELS),  # for the pictures that are decoded to find out what the file holds
}


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[Any, Any]]:
    """Open a file and pick its video stream; yields PyAV's container and stream.

    Raises VideoError, one line that starts with the path, for anything that is wrong with the file inside the block.
    """
    import av

    # PyAV's logging is off by default, and global: it is left as it is.

    path = Path(path)
    try:
        # Opening a pipe would wait for a writer.
        if path.exists() and not path.is_file():
            raise VideoError(f"{path}: not a file")
        if path.exists() and states_too_much(path):
            raise VideoError(f"{path}: it states more pictures or sound than it can hold")
        # A name such as "http:x.mp4" would be a URL without "file:"; tags need not be UTF-8.
        with av.open(f"file:{path}", "r", options=OPTIONS, metadata_errors="replace") as file:
            stream = _video_stream(path, file)
            context = stream.codec_context
            pixels = context.width * context.height
            if not 0 < pixels <= MAX_PIXELS:  # some decoders forget a size that they refuse
                size = f"{context.width}x{context.height}" if pixels else "of no size, or too large"
                raise VideoError(f"{path}: its pictures are {size}: more than {MAX_PIXELS:,} pixels (8K) are not read")
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)}  # the pictures may be larger than the header says
            yield file, stream
    except VideoError:
        raise
    except Exception as error:  # PyAV wraps most of what a damaged file can cause, but not all
        if isinstance(error, MemoryError) and not isinstance(error, av.FFmpegError):
            raise  # this machine is out of memory: not the file's fault
        raise VideoError(f"{path}: not a readable video ({message_of(error)})") from error


def _video_stream(path: Path, file: Any) -> Any:
    """Return the largest video stream that is not a cover picture."""
    import av

    streams = [s for s in file.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path}: no video stream in the file")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise VideoError(f"{path}: no decoder for the video in the file")
    return max(decodable, key=lambda stream: stream.codec_context.width * stream.codec_context.height)


def packets(file: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets, up to the end of the file or the first unreadable place.

    Empty packets are left out: they mean a repeated picture, but a decoder takes them for the end. So is a packet that
    the end of the file cuts: a decoder makes half a picture of it.
    """
    import av

    try:
        for packet in file.demux(stream):
            if packet.size and not packet.is_corrupt:
                yield packet
    except av.FFmpegError:
        return


def pictures(file: Any, stream: Any, needed: Container[int] | None = None) -> Iterator[Any]:
    """Yield decoded pictures in the order in which they are shown, without those that cannot be decoded.

    `needed` are the numbers of the packets to decode, None for all. Each run of numbers must start with a key picture.
    """
    context = stream.codec_context
    feeding = False
    for number, packet in enumerate(packets(file, stream)):
        if needed is None or number in needed:
            yield from _decoded(context, packet)
            feeding = True
        elif feeding:
            yield from _decoded(context, None)
            context.flush_buffers()
            feeding = False
    if feeding:
        yield from _decoded(context, None)


def _decoded(context: Any, packet: Any) -> list[Any]:
    import av

    try:
        return list(context.decode(packet))
    except av.FFmpegError:
        return []


def upright(picture: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Convert a picture to uint8 (height, width, 3), turned as a player shows it, scaled to `shape` if it differs."""
    swap, left_right, upside_down = _turn(picture)
    height, width = shape[:2] if shape else (picture.width, picture.height) if swap else (picture.height, picture.width)
    if swap:
        height, width = width, height
    frame: NDArray[np.uint8] = picture.to_ndarray(format="rgb24", width=width, height=height)
    if swap:
        frame = frame.swapaxes(0, 1)
    return np.ascontiguousarray(frame[:: -1 if upside_down else 1, :: -1 if left_right else 1])


def fitted(picture: Any, longest: int) -> NDArray[np.uint8]:
    """Convert a picture as `upright` does, made smaller where a side has more than `longest` pixels."""
    height, width = (picture.width, picture.height) if _turn(picture)[0] else (picture.height, picture.width)
    scale = min(1.0, longest / max(height, width))
    return upright(picture, (max(1, round(height * scale)), max(1, round(width * scale))))


def _turn(picture: Any) -> tuple[bool, bool, bool]:
    """Return how to turn a picture: whether to swap rows and columns, then mirror left-right, then up-down.

    The display matrix is nine 32-bit numbers; its first two rows begin with a b and c d. The pixel stored at (x, y) is
    shown at (a x + c y, b x + d y) plus an offset.
    """
    from av.sidedata.sidedata import Type

    data = picture.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    swap = abs(b) > abs(a)
    return swap, (c if swap else a) < 0, (b if swap else d) < 0

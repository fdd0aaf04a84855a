"""From a file to pictures: opening it, picking its video, decoding what can be decoded."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.video.frames import VideoError, said

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTIONS = {
    # By content alone ffmpeg would take plain text for a video, or a playlist that names other files.
    "format_whitelist": "mov,matroska,webm,avi",
    "protocol_whitelist": "file",
    # Twice 8K: a damaged header can ask for pictures of gigabytes.
    "max_pixels": str(2**26),
}


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[Any, Any]]:
    """Open a file and pick its video stream; yields PyAV's container and stream.

    Whatever goes wrong with the file in here is a VideoError of one line that starts with the path. PyAV says
    nothing on stderr unless its user asks for it, so its logging, which is global, is left alone.
    """
    import av

    path = Path(path)
    try:
        # Opening a pipe would wait for its other end.
        if path.exists() and not path.is_file():
            raise VideoError(f"{path}: not a file")
        # A name such as "http:x.mp4" would be a URL without "file:"; tags need not be UTF-8.
        with av.open(f"file:{path}", "r", options=OPTIONS, metadata_errors="replace") as file:
            stream = _video_stream(path, file)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": OPTIONS["max_pixels"]}
            yield file, stream
    except VideoError:
        raise
    except Exception as error:  # PyAV wraps most of what a damaged file can cause, but not all
        if isinstance(error, MemoryError) and not isinstance(error, av.FFmpegError):
            raise  # this machine's, not the file's
        raise VideoError(f"{path}: not a readable video ({said(error)})") from error


def _video_stream(path: Path, file: Any) -> Any:
    """Return the largest video stream; a cover picture is none."""
    import av

    streams = [s for s in file.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path}: no video stream in the file")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise VideoError(f"{path}: no decoder for the video in the file")
    return max(decodable, key=lambda stream: stream.codec_context.width * stream.codec_context.height)


def packets(file: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets up to the end of the file or to where it cannot be read any further.

    Left out are empty packets, which stand for a repeated picture but tell a decoder that the video is over, and
    one that the end of the file cuts in two, of which a decoder makes half a picture.
    """
    import av

    try:
        for packet in file.demux(stream):
            if packet.size and not packet.is_corrupt:
                yield packet
    except av.FFmpegError:
        return


def pictures(file: Any, stream: Any, needed: Container[int] | None = None) -> Iterator[Any]:
    """Yield the decoded pictures in the order in which they are shown, without those that cannot be decoded.

    `needed` are the numbers of the packets to decode, None all. Each run of them has to start with a key picture.
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
    """Convert a picture to uint8 (height, width, 3) the way up it is shown, scaled to `shape` if it differs."""
    swap, left_right, upside_down = _turn(picture)
    height, width = shape[:2] if shape else (picture.width, picture.height) if swap else (picture.height, picture.width)
    if swap:
        height, width = width, height
    frame: NDArray[np.uint8] = picture.to_ndarray(format="rgb24", width=width, height=height)
    if swap:
        frame = frame.swapaxes(0, 1)
    return np.ascontiguousarray(frame[:: -1 if upside_down else 1, :: -1 if left_right else 1])


def _turn(picture: Any) -> tuple[bool, bool, bool]:
    """Say how to show a picture: swap rows and columns, then mirror left and right, then up and down.

    The display matrix is nine 32-bit numbers, of which the first two rows hold a b and c d: what is stored at (x, y)
    is shown at (a x + c y, b x + d y), but for an offset.
    """
    from av.sidedata.sidedata import Type

    data = picture.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    swap = abs(b) > abs(a)
    return swap, (c if swap else a) < 0, (b if swap else d) < 0

"""Odd and damaged video files for tests. Every picture is grey, and its level shows its number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from popbench.video import VideoError

CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4"}
QUICK = {
    "libx264": {"preset": "ultrafast", "crf": "10"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "0"},
    "mpeg4": {"b": "5M", "qmax": "2"},
    "mpeg2video": {"b": "5M", "qmax": "2"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
}


@lru_cache(maxsize=64)
def grey(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Return picture `number`: level 30 + 5 number, the upper left quarter 30 brighter, the upper right 15.

    A moving pattern makes a picture wrong if it is decoded without the pictures that it depends on.
    """
    blocks = np.random.default_rng(7).integers(-6, 7, (height // 4, width // 4))
    # Light and dark in every block cancel out, so the level stays.
    pattern = np.kron(blocks, np.kron([[1, -1], [-1, 1]], np.ones((2, 2), int)))
    picture = np.repeat(np.roll(pattern, (3 * number, 5 * number), (0, 1))[..., None] + 30 + 5 * number, 3, axis=2)
    picture[: height // 2, : width // 2] += 30
    picture[: height // 2, width // 2 :] += 15
    return picture.astype(np.uint8)


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    """Return the number of each frame's picture, by its darkest quarter."""
    height, width = frames.shape[1] // 2, frames.shape[2] // 2
    parts = [frames[:, y : y + height, x : x + width].mean((1, 2, 3)) for y in (0, height) for x in (0, width)]
    return [round((level - 30) / 5) for level in np.min(parts, 0).tolist()]


def make(
    path: Path,
    shown: Iterable[int] = range(20),
    *,
    codec: str | None = None,
    times: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (48, 64),
    rate: int = 10,
    rotation: int = 0,
    sound: bool = False,
    cover: tuple[int, int] | None = None,
    second: tuple[int, int] | None = None,
    movflags: str = "+faststart",
    options: dict[str, str] | None = None,
) -> Path:
    """Write the pictures with the numbers `shown`, at `times` in units of 1/100 s if they are given.

    `cover` is the (height, width) of a cover picture, `second` of another video stream, which comes first.
    """
    import av

    codec = codec or CODECS[path.suffix]
    settings = {"movflags": movflags} if movflags and path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=settings) as file:
        pictures = [grey(number, *size) for number in shown]
        first = _stream(file, "mjpeg", second, "yuvj420p", rate) if second else None
        video = _stream(file, codec, size, pix_fmt, rate, options) if pictures else None
        audio: Any = file.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48000) if sound else None
        if cover and path.suffix == ".mkv":
            file.add_attachment("cover.jpg", "image/jpeg", _jpeg(cover))
        art = _stream(file, "mjpeg", cover, "yuvj420p", rate) if cover and path.suffix != ".mkv" else None
        if art is not None:
            art.disposition = av.stream.Disposition.attached_pic.value
            file.mux(art.encode(_white(cover)))
        if first is not None:
            for _ in range(3):
                file.mux(first.encode(_white(second)))
        if video is not None:
            if rotation:
                video.set_display_rotation(rotation)
            if times is not None:
                video.codec_context.time_base = Fraction(1, 100)
            for place, picture in enumerate(pictures):
                frame = _picture(picture)
                if times is not None:
                    frame.pts, frame.time_base = times[place], Fraction(1, 100)
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        if audio is not None:
            for _ in range(10):
                silence = np.zeros((1, 960), np.float32)
                samples: Any = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                samples.sample_rate = 48000
                resampler = av.AudioResampler(format=audio.codec_context.format, layout=audio.layout, rate=48000)
                for each in resampler.resample(samples):
                    file.mux(audio.encode(each))
            file.mux(audio.encode(None))
    return path


def _stream(
    file: Any, codec: str, size: tuple[int, int], pix_fmt: str, rate: int, options: dict[str, str] | None = None
) -> Any:
    stream = file.add_stream(codec, rate=rate)
    stream.height, stream.width = size
    stream.pix_fmt = pix_fmt
    stream.codec_context.thread_count = 1
    stream.options = {**QUICK.get(codec, {}), **(options or {})}
    return stream


def _picture(frame: NDArray[np.uint8]) -> Any:
    import av

    return av.VideoFrame.from_ndarray(frame, format="rgb24")


def _white(size: tuple[int, int] | None) -> Any:
    height, width = size or (0, 0)
    return _picture(np.full((height, width, 3), 255, np.uint8))


def _jpeg(size: tuple[int, int]) -> bytes:
    import av

    context: Any = av.CodecContext.create("mjpeg", "w")
    context.height, context.width, context.pix_fmt, context.time_base = *size, "yuvj420p", Fraction(1, 10)
    return b"".join(bytes(packet) for packet in [*context.encode(_white(size)), *context.encode(None)])


def make_size_change(path: Path) -> Path:
    """Write pictures 0 to 4 in 64x48, then 5 to 9 in 32x24."""

    import av

    with av.open(str(path), "w") as file:
        stream = _stream(file, "libvpx-vp9", (48, 64), "yuv420p", 10)
        for number in range(5):
            file.mux(stream.encode(_picture(grey(number))))
        file.mux(stream.encode(None))
        smaller: Any = av.CodecContext.create("libvpx-vp9", "w")
        smaller.height, smaller.width, smaller.pix_fmt = 24, 32, "yuv420p"
        smaller.time_base, smaller.framerate = stream.codec_context.time_base, 10
        smaller.options = QUICK["libvpx-vp9"]
        packets = [p for number in range(5, 10) for p in smaller.encode(_picture(grey(number, 24, 32)))]
        for place, packet in enumerate([*packets, *smaller.encode(None)]):
            packet.stream = stream
            packet.time_base = smaller.time_base
            packet.pts = packet.dts = 5 + place
            file.mux(packet)
    return path


def cut(path: Path, part: float) -> Path:
    """Keep only this part of the file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def spoil(path: Path, start: float, end: float) -> Path:
    """Overwrite this part of the file with noise."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(data)
    return path


def sound_packets(path: Path) -> list[tuple[int, int]]:
    """Return where in a file the packets of its sound are, and how long each is."""
    import av

    with av.open(str(path)) as file:
        return [(packet.pos or 0, packet.size) for packet in file.demux(audio=0) if packet.size]


def spoil_sound(path: Path) -> Path:
    """Overwrite all packets of a file's sound, and nothing else."""
    content = bytearray(path.read_bytes())
    for place, size in sound_packets(path):
        content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    return path


def sound_seconds(path: Path) -> float:
    """Return how long a file's sound is."""
    import av

    with av.open(str(path)) as file:
        stream: Any = file.streams.audio[0]
        return float(stream.duration * stream.time_base)


def refusal(call: Callable[[], object]) -> str:
    """Return the one line that a call refuses a file with."""
    with pytest.raises(VideoError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message

"""Reads frames of any video file, and its size, length and rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from popbench.video.decoding import opened, packets, pictures, upright
from popbench.video.frames import VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

RESTARTING = frozenset({"h264", "hevc", "vp8", "vp9", "libdav1d"})
"""Decoders that can start at a key picture in the middle of a file, and yield nothing if it turns out not to be one."""


@dataclass(frozen=True)
class VideoInfo:
    """A video file's size in pixels as shown, number of pictures, seconds, and mean pictures per second.

    `seconds` and `fps` are 0.0 if the file does not state them.
    """

    width: int
    height: int
    frames: int
    seconds: float
    fps: float


class _Packet(NamedTuple):
    pts: int | None
    duration: int
    key: bool
    shown: bool


def read_frames(path: Path | str, count: int | None = None) -> NDArray[np.uint8]:
    """Decode `count` frames evenly spaced in time, first and last included; all frames for None.

    Returns uint8 (count, height, width, 3), turned as a player shows it. If the video has fewer frames, some are
    repeated; if it changes its size, frames are scaled to the size of the first. Pixels that are not square stay as
    stored, transparency is dropped, and HDR is not tone-mapped. Of a damaged file, what can be decoded is used. With a
    `count`, memory does not grow with the length of the video, but ten frames of 8K take a gigabyte: `map_frames` holds
    one. Raises VideoError if the file cannot be decoded, holds no frame, or has pictures larger than 8K.
    """
    frames: list[NDArray[np.uint8] | None] = [*map_frames(path, count, lambda frame: frame)]
    assert frames[0] is not None
    array = np.empty((len(frames), *frames[0].shape), np.uint8)
    for number in range(len(frames)):
        array[number] = frames[number]
        frames[number] = None  # unlike `np.stack`, which would hold every frame twice at its end
    return array


def map_frames(path: Path | str, count: int | None, work: Callable[[NDArray[np.uint8]], T]) -> list[T]:
    """Return `work(frame)` of each frame that `read_frames` would return, holding one decoded frame at a time.

    A frame is uint8 (height, width, 3). `work` is called once for a frame that is repeated, and may be called for
    frames whose results are not used. Raises VideoError as `read_frames` does.

    Example:
        The mean of each of ten frames::

            map_frames("clip.mp4", 10, lambda frame: frame.mean())
    """
    if count is not None and count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    results = _all(path, work) if count is None else _by_time(path, count, work) or _by_number(path, count, work)
    if not results:
        raise VideoError(f"{path}: no frames in the file")
    return results


def video_info(path: Path | str) -> VideoInfo:
    """Return a video file's properties, decoding its first picture only; raises VideoError as `read_frames` does."""
    listed = _listed(path)
    with opened(path) as (file, stream):
        first = next(pictures(file, stream), None)
        if first is None:
            raise VideoError(f"{path}: no frames in the file")
        height, width, _ = upright(first).shape
        shown = [packet for packet in listed if packet.shown]
        total = max(len(shown), 1)
        starts = [packet.pts for packet in shown if packet.pts is not None]
        ends = [packet.pts + packet.duration for packet in shown if packet.pts is not None]
        seconds = float((max(ends) - min(starts)) * stream.time_base) if starts else 0.0
        if shown and not shown[-1].duration and total > 1:
            seconds *= total / (total - 1)
        if seconds <= 0 and stream.average_rate:
            seconds = float(total / stream.average_rate)
    return VideoInfo(width, height, total, seconds, total / seconds if seconds > 0 else 0.0)


def _listed(path: Path | str) -> list[_Packet]:
    with opened(path) as (file, stream):
        return [
            _Packet(packet.pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard)
            for packet in packets(file, stream)
        ]


class _Work(Generic[T]):
    """Converts pictures to frames of the size of the first, and calls `work` with them."""

    def __init__(self, work: Callable[[NDArray[np.uint8]], T]) -> None:
        self._work = work
        self._shape: tuple[int, ...] | None = None

    def __call__(self, picture: Any) -> T:
        frame = upright(picture, self._shape)
        self._shape = frame.shape
        return self._work(frame)


def _all(path: Path | str, work: Callable[[NDArray[np.uint8]], T]) -> list[T]:
    convert = _Work(work)
    with opened(path) as (file, stream):
        return [convert(picture) for picture in pictures(file, stream)]


def _by_time(path: Path | str, count: int, work: Callable[[NDArray[np.uint8]], T]) -> list[T]:
    """Choose frames by the times of packets, without decoding the others; empty if the times cannot be trusted."""
    listed = _listed(path)
    times = sorted(packet.pts for packet in listed if packet.shown and packet.pts is not None)
    with opened(path) as (file, stream):
        # AVI stores no times of presentation: ffmpeg makes them up from the order of packets.
        if len(set(times)) < sum(packet.shown for packet in listed) or not times or file.format.name == "avi":
            return []
        wanted = [times[place] for place in _spaced(times, count)]
        if stream.codec_context.name in RESTARTING:
            decoded = pictures(file, stream, _needed(listed, set(wanted)))
            results, missed = _nearest(((picture.pts, picture) for picture in decoded), wanted, work)
            if not missed:
                return results
            del results
    with opened(path) as (file, stream):
        results, _ = _nearest(((picture.pts, picture) for picture in pictures(file, stream)), wanted, work)
    return results


def _by_number(path: Path | str, count: int, work: Callable[[NDArray[np.uint8]], T]) -> list[T]:
    """Choose frames after decoding the whole file once for their times."""
    with opened(path) as (file, stream):
        times = [picture.pts for picture in pictures(file, stream)]
    if not times:
        return []
    if any(time is None for time in times) or any(a >= b for a, b in pairwise(times)):
        times = list(range(len(times)))
    with opened(path) as (file, stream):
        results, _ = _nearest(enumerate(pictures(file, stream)), _spaced(times, count), work)
    return results


def _spaced(times: Sequence[int], count: int) -> list[int]:
    """Return the indices of the `times`, ascending, that are nearest to `count` evenly spaced moments."""
    moments = np.asarray(times, float)
    places = np.arange(len(times))
    interval = (moments[-1] - moments[0]) / max(len(times) - 1, 1)
    # At a constant rate use the exact indices: times are rounded, in Matroska to milliseconds.
    if np.abs(moments - (moments[0] + interval * places)).max() <= interval / 4:
        moments = places.astype(float)
    even = np.linspace(moments[0], moments[-1], count)
    return [int(place) for place in np.interp(even, moments, places).round()]


def _needed(listed: Sequence[_Packet], wanted: set[int]) -> set[int]:
    """Return the numbers of the packets that the wanted pictures depend on."""
    needed: set[int] = set()
    for number, packet in enumerate(listed):
        if packet.shown and packet.pts in wanted:
            start = number
            # A picture that is shown before the key picture it follows in the file may depend on earlier ones.
            while start and not (listed[start].key and (listed[start].pts or 0) <= packet.pts):
                start -= 1
            needed.update(range(start, number + 1))
    return needed


def _nearest(
    decoded: Iterable[tuple[int | None, Any]], wanted: Sequence[int], work: Callable[[NDArray[np.uint8]], T]
) -> tuple[list[T], bool]:
    """Return the results for the pictures nearest to wanted moments, and whether any had no picture of its very time.

    `decoded` are moments and pictures, ascending like `wanted`. At most two pictures are held at a time.
    """
    results: list[T] = []
    missed = False
    before: tuple[int, Any] | None = None
    converted: Any = None
    convert = _Work(work)

    def take(picture: Any) -> None:
        nonlocal converted
        results.append(results[-1] if picture is converted else convert(picture))
        converted = picture

    for moment, picture in decoded:
        if moment is None:
            continue
        while len(results) < len(wanted) and moment >= wanted[len(results)]:
            target = wanted[len(results)]
            missed |= moment != target
            take(before[1] if before and target - before[0] < moment - target else picture)
        if len(results) == len(wanted):
            return results, missed
        before = moment, picture
    if before:
        while len(results) < len(wanted):
            take(before[1])
    return results, True

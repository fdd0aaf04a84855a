"""Reads frames of any video file, and its size, length and rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from popbench.video.decoding import opened, packets, pictures, upright
from popbench.video.frames import VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    `count`, memory does not grow with the length of the video. Raises VideoError if the file cannot be decoded or holds
    no frame.
    """
    if count is not None and count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    frames = _all(path) if count is None else _by_time(path, count) or _by_number(path, count)
    if not frames:
        raise VideoError(f"{path}: no frames in the file")
    return np.stack(frames)


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


def _all(path: Path | str) -> list[NDArray[np.uint8]]:
    frames: list[NDArray[np.uint8]] = []
    with opened(path) as (file, stream):
        for picture in pictures(file, stream):
            frames.append(upright(picture, frames[0].shape if frames else None))
    return frames


def _by_time(path: Path | str, count: int) -> list[NDArray[np.uint8]]:
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
            frames, missed = _nearest(((picture.pts, picture) for picture in decoded), wanted)
            if not missed:
                return frames
    with opened(path) as (file, stream):
        frames, _ = _nearest(((picture.pts, picture) for picture in pictures(file, stream)), wanted)
    return frames


def _by_number(path: Path | str, count: int) -> list[NDArray[np.uint8]]:
    """Choose frames after decoding the whole file once for their times."""
    with opened(path) as (file, stream):
        times = [picture.pts for picture in pictures(file, stream)]
    if not times:
        return []
    if any(time is None for time in times) or any(a >= b for a, b in pairwise(times)):
        times = list(range(len(times)))
    with opened(path) as (file, stream):
        frames, _ = _nearest(enumerate(pictures(file, stream)), _spaced(times, count))
    return frames


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


def _nearest(decoded: Iterable[tuple[int | None, Any]], wanted: Sequence[int]) -> tuple[list[NDArray[np.uint8]], bool]:
    """Return the picture nearest to each wanted moment, and whether any moment had no picture of exactly its time.

    `decoded` are moments and pictures, ascending like `wanted`. At most two pictures are held at a time.
    """
    frames: list[NDArray[np.uint8]] = []
    missed = False
    before: tuple[int, Any] | None = None
    converted: Any = None

    def take(picture: Any) -> None:
        nonlocal converted
        if picture is converted:
            frames.append(frames[-1])
        else:
            frames.append(upright(picture, frames[0].shape if frames else None))
            converted = picture

    for moment, picture in decoded:
        if moment is None:
            continue
        while len(frames) < len(wanted) and moment >= wanted[len(frames)]:
            target = wanted[len(frames)]
            missed |= moment != target
            take(before[1] if before and target - before[0] < moment - target else picture)
        if len(frames) == len(wanted):
            return frames, missed
        before = moment, picture
    if before:
        while len(frames) < len(wanted):
            take(before[1])
    return frames, True

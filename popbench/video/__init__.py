"""The one place that touches video files: writing reproducible mp4s and reading frames back.

Takes frames or a file; hands on a file, frames, or what is wrong with it.
What is read may come from anywhere: `read_frames` and `video_info` make the best of odd and damaged files. `check_mp4`
judges a clip that a generator has just finished, and forgives nothing. It does not judge content beyond `is_black`,
and knows nothing of models, requests or runs.
"""

from __future__ import annotations

from popbench.files import copy, sha256
from popbench.video.checking import check_mp4
from popbench.video.frames import BLACK_LEVEL, VideoError, check_frames, is_black
from popbench.video.reading import VideoInfo, read_frames, video_info
from popbench.video.writing import ENCODER, MAX_FPS, write_mp4

__all__ = [
    "BLACK_LEVEL",
    "ENCODER",
    "MAX_FPS",
    "VideoError",
    "VideoInfo",
    "check_frames",
    "check_mp4",
    "copy",
    "is_black",
    "read_frames",
    "sha256",
    "video_info",
    "write_mp4",
]

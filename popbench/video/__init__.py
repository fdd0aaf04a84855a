"""Video files: writes reproducible mp4s and reads frames. No other module touches video files. Public.

Takes frames or a file; hands on a file, frames, or what is wrong with it. `read_frames` and `video_info` accept any
file, and use what can be decoded of a damaged one. `check_mp4` is strict, for clips that a generator has just made.
Content is not judged beyond `is_black`.
"""

from __future__ import annotations

from popbench.files import copy, sha256
from popbench.video.checking import check_mp4
from popbench.video.frames import BLACK_LEVEL, VideoError, check_frames, is_black
from popbench.video.posters import poster
from popbench.video.reading import VideoInfo, map_frames, read_frames, video_info
from popbench.video.sound import SOUND_ENCODER, check_sound, fit_sound, has_sound, sound_of
from popbench.video.writing import ENCODER, MAX_FPS, write_mp4

__all__ = [
    "BLACK_LEVEL",
    "ENCODER",
    "MAX_FPS",
    "SOUND_ENCODER",
    "VideoError",
    "VideoInfo",
    "check_frames",
    "check_mp4",
    "check_sound",
    "copy",
    "fit_sound",
    "has_sound",
    "is_black",
    "map_frames",
    "poster",
    "read_frames",
    "sha256",
    "sound_of",
    "video_info",
    "write_mp4",
]

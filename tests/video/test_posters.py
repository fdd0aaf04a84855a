"""Posters of clips: a JPEG of a frame that shows something."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from popbench.video import VideoError, poster, write_mp4


def decoded(data: bytes) -> Any:
    with av.open(io.BytesIO(data), "r", format="image2pipe", options={"c:v": "mjpeg"}) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def test_the_frame_with_most_contrast_is_shown_not_a_black_first_one(tmp_path: Path) -> None:
    frames = np.zeros((9, 90, 160, 3), np.uint8)
    frames[5:, :, 80:] = 250
    write_mp4(frames, 8, tmp_path / "clip.mp4")
    data = poster(tmp_path / "clip.mp4")
    assert data.startswith(b"\xff\xd8")
    picture = decoded(data)
    assert picture.shape == (90, 160, 3)
    assert picture[:, 100:].mean() > 230
    assert picture[:, :60].mean() < 20


@pytest.mark.parametrize(
    ("height", "width", "shape"), [(450, 800, (270, 480)), (800, 600, (640, 480)), (31, 47, (32, 48))]
)
def test_a_poster_is_no_wider_than_wanted_and_keeps_the_shape(
    height: int, width: int, shape: tuple[int, int], tmp_path: Path
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, height, width, 3), dtype=np.uint8)
    write_mp4(frames, 8, tmp_path / "clip.mp4")
    assert decoded(poster(tmp_path / "clip.mp4")).shape == (*shape, 3)


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    with pytest.raises(VideoError):
        poster(tmp_path / "clip.mp4")

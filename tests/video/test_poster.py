"""Posters of clips: a picture that shows something, upright, and small."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from popbench.video import VideoError, poster, write_mp4
from video_files import make


def picture(data: bytes) -> Any:
    with av.open(io.BytesIO(data), "r", format="jpeg_pipe") as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def clip(path: Path, lights: list[int], shape: tuple[int, int] = (32, 48)) -> Path:
    frames = np.zeros((len(lights), *shape, 3), np.uint8)
    for frame, light in zip(frames, lights, strict=True):
        frame[:, shape[1] // 2 :] = light
    write_mp4(frames, 8, path)
    return path


def test_it_is_the_first_picture_that_is_not_black(tmp_path: Path) -> None:
    shown = picture(poster(clip(tmp_path / "a.mp4", [0, 0, 10, 120, 250])))
    assert shown.shape == (32, 48, 3)
    assert shown[:, 30:].mean() == pytest.approx(120, abs=8)
    assert shown[:, :18].mean() < 20


def test_of_a_dark_clip_it_is_the_brightest(tmp_path: Path) -> None:
    assert picture(poster(clip(tmp_path / "a.mp4", [0, 20, 36, 20])))[:, 30:].mean() == pytest.approx(36, abs=6)
    assert picture(poster(clip(tmp_path / "b.mp4", [0, 0]))).max() < 16


def test_it_is_no_larger_than_wanted_and_keeps_its_shape(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", [200], (600, 300))
    assert picture(poster(path)).shape == (480, 240, 3)
    assert picture(poster(path, 100)).shape == (100, 50, 3)


def test_it_is_turned_as_a_player_shows_it(tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", rotation=90)
    height, width, _ = picture(poster(tmp_path / "a.mp4")).shape
    make(tmp_path / "b.mp4")
    assert picture(poster(tmp_path / "b.mp4")).shape[:2] == (width, height)


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video", encoding="utf-8")
    with pytest.raises(VideoError, match=r"a\.mp4: not a readable video"):
        poster(tmp_path / "a.mp4")

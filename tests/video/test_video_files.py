"""Video files from anywhere: what is there is read, and what is not is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popbench.video import check_mp4, read_frames, video_info, write_mp4
from video_files import grey, make, make_size_change, numbers, refusal

# -- which frames


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("a.mp4", {"options": {"g": "7", "bf": "2"}}),
    ("a.mp4", {"options": {"g": "7", "bf": "2", "x264-params": "open-gop=1:scenecut=0", "preset": "fast"}}),
    ("a.mp4", {"options": {"g": "1000", "preset": "medium"}}),
    ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=7:bframes=3:open-gop=1"}}),
    ("a.mp4", {"rate": 30000, "times": None, "movflags": "+frag_keyframe+empty_moov", "options": {"g": "5"}}),
    ("a.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}),
    ("a.mkv", {"rate": 30, "options": {"g": "7", "bf": "2"}}),
    ("a.mkv", {"codec": "mpeg2video", "rate": 30, "options": {"bf": "2", "g": "6"}}),
    ("a.webm", {"rate": 60, "options": {"g": "7"}}),
    ("a.webm", {"codec": "libvpx", "rate": 30, "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    ("a.avi", {"options": {"bf": "2", "g": "7"}}),
    ("a.avi", {"codec": "libx264", "options": {"g": "7", "bf": "2", "preset": "medium"}}),
]


@pytest.mark.parametrize(("name", "how"), KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 40])
def test_at_a_constant_rate_frames_are_spaced_by_number_and_those_of_a_full_decode(
    tmp_path: Path, name: str, how: dict[str, Any], count: int
) -> None:
    path = make(tmp_path / name, range(34), **how)
    everything = read_frames(path)
    assert numbers(everything) == list(range(34))
    places = np.linspace(0, 33, count).round().astype(int)
    assert np.array_equal(read_frames(path, count), everything[places])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_at_a_variable_rate_frames_are_evenly_spaced_in_time(tmp_path: Path, name: str) -> None:
    # Ten pictures in the first second, then one at 4 s and one at 10 s.
    path = make(tmp_path / name, range(12), times=[*range(0, 100, 10), 400, 1000])
    assert numbers(read_frames(path, 3)) == [0, 10, 11]
    assert numbers(read_frames(path, 6)) == [0, 9, 10, 10, 11, 11]
    assert numbers(read_frames(path, 21)) == [0, 5, 9, 9, 9, *[10] * 10, *[11] * 6]
    assert numbers(read_frames(path)) == list(range(12))


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    frames = read_frames(make_size_change(tmp_path / "a.webm"))
    assert frames.shape == (10, 48, 64, 3)
    assert numbers(frames) == list(range(10))
    assert numbers(read_frames(tmp_path / "a.webm", 4)) == [0, 3, 6, 9]


# -- which way up


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3), (-90, 3)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_a_phone_s_video_comes_back_upright(tmp_path: Path, name: str, rotation: int, turns: int) -> None:
    # As players have it: positive angles of the display matrix turn against the clock, as rot90 does.
    path = make(tmp_path / name, [3, 4], rotation=rotation)
    expected = np.stack([np.rot90(grey(number), turns) for number in (3, 4)])
    frames = read_frames(path)
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).mean() < 3
    info = video_info(path)
    assert (info.height, info.width) == expected.shape[1:3]


def test_the_matrix_that_phones_write_for_a_portrait_turns_with_the_clock(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", [3])
    data = path.read_bytes()
    straight, one, minus = bytes.fromhex("00010000"), bytes.fromhex("00010000"), bytes.fromhex("ffff0000")
    nothing, w = bytes(4), bytes.fromhex("40000000")
    track = data.index(b"tkhd")
    place = data.index(straight + bytes(12) + straight, track)
    matrix = nothing + one + nothing + minus + nothing + nothing + nothing + nothing + w
    path.write_bytes(data[:place] + matrix + data[place + 36 :])
    assert np.abs(read_frames(path)[0].astype(int) - np.rot90(grey(3), -1)).mean() < 3


def test_a_mirrored_selfie_is_mirrored_back(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", [3])
    data = path.read_bytes()
    place = data.index(bytes.fromhex("00010000") + bytes(12), data.index(b"tkhd"))
    path.write_bytes(data[:place] + bytes.fromhex("ffff0000") + data[place + 4 :])
    assert np.abs(read_frames(path)[0].astype(int) - grey(3)[:, ::-1]).mean() < 3


# -- what is in it


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.webm", {"pix_fmt": "yuva420p", "options": {"auto-alt-ref": "0"}}),
        ("a.mp4", {"pix_fmt": "yuv420p10le"}),
        ("a.mp4", {"pix_fmt": "yuvj420p"}),
        ("a.mp4", {"pix_fmt": "yuv444p"}),
        ("a.mp4", {"options": {"x264-params": "tff=1"}}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "gbrp10le"}),
        ("a.avi", {"codec": "rawvideo", "pix_fmt": "bgr24"}),
    ],
)
def test_every_pixel_format_becomes_rgb(tmp_path: Path, name: str, how: dict[str, Any]) -> None:
    assert numbers(read_frames(make(tmp_path / name, **how), 5)) == [0, 5, 10, 14, 19]


def test_a_video_without_colour_becomes_rgb(tmp_path: Path) -> None:
    frames = read_frames(make(tmp_path / "a.mkv", pix_fmt="gray"), 5)
    assert frames.shape == (5, 48, 64, 3)
    assert np.all(np.diff(frames.mean((1, 2, 3))) > 10)
    assert int(np.ptp(frames, axis=3).max()) == 0


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov"])
def test_sound_makes_no_difference(tmp_path: Path, name: str) -> None:
    assert numbers(read_frames(make(tmp_path / name, sound=True), 3)) == [0, 10, 19]
    assert check_mp4(tmp_path / name) is False


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_cover_picture_is_no_video(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, [], codec="libx264", sound=True, cover=(96, 128))
    for call in (read_frames, video_info, check_mp4):
        assert refusal(lambda call=call: call(path)) == f"{path}: no video stream in the file"  # type: ignore[misc]


@pytest.mark.parametrize("how", [{"cover": (96, 128)}, {"second": (24, 32)}])
def test_of_several_video_streams_the_largest_that_is_no_cover_is_read(tmp_path: Path, how: dict[str, Any]) -> None:
    path = make(tmp_path / "a.mp4", **how)
    assert numbers(read_frames(path, 3)) == [0, 10, 19]
    assert check_mp4(path) is False
    assert video_info(path).frames == 20


@pytest.mark.parametrize("name", ["zoë 猫 100%d.mp4", "a:b.mp4", "http:x.mp4", "concat:a.mp4|b.mp4", "-.mp4", "file:"])
def test_every_name_is_that_of_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read_frames(Path(name), 3)) == 3
    assert len(read_frames(tmp_path / name, 3)) == 3


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "a.mp4")
    for text in ("ffconcat version 1.0\nfile a.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.mp4\n"):
        (tmp_path / "list.mp4").write_text(text)
        refusal(lambda: read_frames(tmp_path / "list.mp4"))


def test_tags_need_not_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_mp4(np.stack([grey(n) for n in range(5)]), 10, path, {"title": "XXXX"})
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"\xff\xfe\xe9X"))
    assert numbers(read_frames(path, 2)) == [0, 4]


# -- what video_info says


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"])
def test_the_info_is_that_of_the_file(tmp_path: Path, name: str) -> None:
    info = video_info(make(tmp_path / name, range(25), sound=True))
    assert (info.width, info.height, info.frames) == (64, 48, 25)
    assert info.seconds == pytest.approx(2.5, abs=0.002)
    assert info.fps == pytest.approx(10, rel=0.001)


def test_the_rate_of_a_variable_rate_is_the_average(tmp_path: Path) -> None:
    info = video_info(make(tmp_path / "a.mp4", range(11), times=[*range(0, 100, 10), 400]))
    assert info.frames == 11
    assert info.seconds == pytest.approx(4, abs=3.1)
    assert info.fps == pytest.approx(11 / info.seconds)

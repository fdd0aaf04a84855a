"""Damaged video files, and what reading any takes: frames are read, or one line says what is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from popbench.video import VideoError, check_mp4, decoding, map_frames, read_frames, video_info, write_mp4
from video_files import cut, make, numbers, refusal, spoil

# -- damage


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"])
def test_what_is_left_of_a_file_cut_short_is_read_but_is_no_finished_clip(tmp_path: Path, name: str) -> None:
    path = cut(make(tmp_path / name, range(40)), 0.7)
    everything = numbers(read_frames(path))
    assert 10 < len(everything) < 40
    assert everything == list(range(len(everything)))
    assert numbers(read_frames(path, 3))[::2] == [0, everything[-1]]
    assert "cut short" in refusal(lambda: check_mp4(path))


def test_half_of_a_clip_that_starts_fast_is_read_but_is_no_finished_clip(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)
    write_mp4(frames, 8, tmp_path / "a.mp4")
    cut(tmp_path / "a.mp4", 0.5)
    assert 5 < len(read_frames(tmp_path / "a.mp4")) < 15
    assert read_frames(tmp_path / "a.mp4", 4).shape == (4, 32, 48, 3)
    assert "cut short" in refusal(lambda: check_mp4(tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"])
@pytest.mark.parametrize("part", [(0.75, 0.8), (0.95, 0.99)])
def test_frames_before_and_after_garbage_are_read(tmp_path: Path, name: str, part: tuple[float, float]) -> None:
    path = spoil(make(tmp_path / name, range(40), options={"g": "4"}), *part)
    found = read_frames(path)
    assert 10 < len(found) <= 40
    assert numbers(found[:5]) == list(range(5))
    assert read_frames(path, 7).shape == (7, 48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi"])
def test_bytes_after_the_end_make_no_difference(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(5000))
    assert numbers(read_frames(path, 3)) == [0, 10, 19]


def test_a_file_whose_pictures_are_all_garbage_has_no_frames(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    data = path.read_bytes()
    place = data.index(b"mdat") + 4
    path.write_bytes(data[:place] + b"\xff" * (len(data) - place))
    for call in (lambda: read_frames(path), lambda: read_frames(path, 3), lambda: video_info(path)):
        assert refusal(call) == f"{path}: no frames in the file"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.mp4")
    assert "not a file" in refusal(lambda: read_frames(tmp_path / "a.mp4"))


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(data)))
    match int(random.integers(3)):
        case 0:
            return data[:place]
        case 1:
            spoilt = bytearray(data)
            for position in random.integers(0, len(data), 20):
                spoilt[position] ^= 1 << int(random.integers(8))
            return bytes(spoilt)
        case _:
            return data[:place] + random.bytes(int(random.integers(1, 300))) + data[place:]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.avi"])
def test_whatever_the_damage_there_are_frames_or_one_line(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    path = make(tmp_path / name, range(12), sound=True, movflags="" if name == "a.mov" else "+faststart")
    whole = path.read_bytes()
    read = 0
    for _ in range(50):
        path.write_bytes(damaged(whole, random))
        said = []
        for call in (lambda: read_frames(path, 4), lambda: video_info(path), lambda: check_mp4(path)):
            try:
                found = call()
            except VideoError as error:
                said.append(str(error))
                continue
            if isinstance(found, np.ndarray):
                assert found.dtype == np.uint8
                assert found.ndim == 4
                assert (len(found), found.shape[3]) == (4, 3)
                read += 1
        assert all(line.startswith(f"{path}: ") and len(line.splitlines()) == 1 for line in said)
    assert read > 10
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_video_without_a_picture_is_refused(tmp_path: Path, name: str) -> None:
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=10)
        stream.height = stream.width = 64
        file.start_encoding()
    for call in (lambda: read_frames(path), lambda: read_frames(path, 3), lambda: video_info(path)):
        assert str(path) in refusal(call)
    assert str(path) in refusal(lambda: check_mp4(path))


def test_a_header_that_asks_for_pictures_of_gigabytes_does_not_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.mp4")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 3000)
    assert str(path) in refusal(lambda: read_frames(path))


@pytest.mark.parametrize("size", [(4352, 8288), (60_000, 640)])
def test_pictures_beyond_8k_are_refused_by_their_size_in_one_line(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make(tmp_path / "a.avi", [1], size=size, codec="ffv1", pix_fmt="gray")
    for call in (lambda: read_frames(path, 3), lambda: video_info(path), lambda: check_mp4(path)):
        assert "more than 36,000,000 pixels (8K) are not read" in refusal(call)


def test_work_is_done_once_for_each_frame_that_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", range(3))
    seen: list[int] = []

    def number(frame: Any) -> int:
        seen.extend(numbers(frame[None]))
        return seen[-1]

    assert map_frames(path, 5, number) == [0, 0, 1, 2, 2]
    assert seen == [0, 1, 2]
    assert map_frames(path, None, number) == [0, 1, 2]


def test_pictures_that_an_avi_leaves_out_are_not_counted(tmp_path: Path) -> None:
    path = make(tmp_path / "a.avi", range(6), times=[0, 10, 20, 60, 70, 80])
    assert numbers(read_frames(path)) == list(range(6))
    assert numbers(read_frames(path, 9)) == [0, 1, 2, 2, 2, 3, 3, 4, 5]


# -- means


MEASURE = """
import resource, sys
from pathlib import Path
from popbench.video import read_frames
read_frames(Path(sys.argv[1]), 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_frames(Path(sys.argv[2]), 4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


PEAK = """
import resource, sys
from popbench.video import map_frames
map_frames(sys.argv[1], 1, lambda frame: frame.mean())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
map_frames(sys.argv[1], 12, lambda frame: frame.mean())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_many_frames_of_a_large_video_take_the_memory_of_few(tmp_path: Path) -> None:
    size = (1200, 2000)
    path = make(tmp_path / "a.avi", range(12), size=size, codec="mjpeg", pix_fmt="yuvj420p")
    run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4 * 3 * size[0] * size[1] // 1024  # twelve frames would be three times that


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path: Path, name: str) -> None:
    how: dict[str, Any] = {"size": (240, 320), "codec": None}
    short = make(tmp_path / f"short{name}", range(10), **how)
    long = make(tmp_path / f"long{name}", [n % 30 for n in range(1200)], **how)
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(short), str(long)], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stderr == ""
    # All its pictures are 138 MB as they are decoded.
    assert int(run.stdout) < 20_000, f"KiB, after {time.monotonic() - began:.1f} s"


@pytest.mark.parametrize(
    ("movflags", "table", "fields"), [("+faststart", b"stsz", (0, 1)), ("+frag_keyframe+empty_moov", b"trun", (0,))]
)
def test_more_samples_than_a_file_can_hold_are_refused_before_they_are_listed(
    tmp_path: Path, movflags: str, table: bytes, fields: tuple[int, ...]
) -> None:
    path = make(tmp_path / "a.mp4", movflags=movflags)
    assert video_info(path).frames == 20
    content = bytearray(path.read_bytes())
    start = content.index(table) + 4
    claim = b"".join(number.to_bytes(4, "big") for number in (*fields, 60_000_000))
    content[start : start + len(claim)] = claim
    path.write_bytes(content)
    for call in (lambda: read_frames(path, 3), lambda: video_info(path), lambda: check_mp4(path)):
        assert "it states more pictures or sound than it can hold" in refusal(call)

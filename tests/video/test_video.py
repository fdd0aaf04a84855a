"""The one place that touches video files: reproducible mp4s out, evenly spaced frames in."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from popbench import video
from popbench.video import VideoError, check_frames, check_mp4, is_black, read_frames, sha256, write_mp4
from video_files import make

Frames = NDArray[np.uint8]


def noise(count: int = 6, height: int = 32, width: int = 48, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def steps(count: int, height: int = 32, width: int = 32) -> Frames:
    """Frame n is grey with the value 10 n + 20."""
    levels = (10 * np.arange(count) + 20).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def shown(frames: Frames) -> list[int]:
    """Which frame of `steps` each frame is."""
    return [round((float(frame.mean()) - 20) / 10) for frame in frames]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(VideoError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def probe(path: Path) -> dict[str, Any]:
    import av

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return {
            "codec": stream.codec_context.name,
            "pix_fmt": stream.codec_context.pix_fmt,
            "size": (stream.width, stream.height),
            "fps": stream.average_rate,
            "frames": stream.frames,
            "metadata": dict(file.metadata),
        }


# -- writing


def test_the_same_frames_give_the_same_bytes_every_time(tmp_path: Path) -> None:
    moving = np.stack([np.roll(noise(1, 96, 128)[0], 3 * n, axis=1) for n in range(24)])
    for frames in (noise(30, 96, 128), moving, steps(20, 96, 128)):
        hashes = set()
        for _ in range(25):
            write_mp4(frames, 8, tmp_path / "a.mp4", {"title": "x"})
            hashes.add(sha256(tmp_path / "a.mp4"))
        assert len(hashes) == 1


CODE = """
import sys, hashlib, pathlib, numpy as np
from popbench.video import write_mp4
frames = np.random.default_rng(5).integers(0, 256, (30, 96, 128, 3), dtype=np.uint8)
path = pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}.mp4"
for _ in range(5):
    write_mp4(frames, 12.5, path, {"comment": "c"})
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_the_same_frames_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path), str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    lines = [line for run in runs for line in run.communicate(timeout=60)[0].split()]
    write_mp4(noise(30, 96, 128, seed=5), 12.5, tmp_path / "here.mp4", {"comment": "c"})
    assert len(lines) == 15
    assert set(lines) == {sha256(tmp_path / "here.mp4")}


def test_frames_need_not_be_contiguous(tmp_path: Path) -> None:
    frames = noise(6)
    write_mp4(frames[::2, ::-1, ::2], 8, tmp_path / "a.mp4")
    write_mp4(np.ascontiguousarray(frames[::2, ::-1, ::2]), 8, tmp_path / "b.mp4")
    assert sha256(tmp_path / "a.mp4") == sha256(tmp_path / "b.mp4")


def test_other_frames_rates_and_tags_give_other_bytes(tmp_path: Path) -> None:
    changed = noise()
    changed[3] = 255 - changed[3]
    path = tmp_path / "a.mp4"
    hashes = set()
    for frames, fps, tags in ((noise(), 8, {}), (changed, 8, {}), (noise(), 9, {}), (noise(), 8, {"title": "x"})):
        write_mp4(frames, fps, path, tags)
        hashes.add(sha256(path))
    assert len(hashes) == 4


def test_a_file_is_h264_in_yuv420p_that_starts_fast(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_mp4(noise(10, 32, 48), 8, path)
    found = probe(path)
    assert (found["codec"], found["pix_fmt"], found["size"]) == ("h264", "yuv420p", (48, 32))
    assert (found["fps"], found["frames"]) == (8, 10)
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("fps", [1, 8, 12.5, 23.976, 29.97, 60, np.float64(8), np.int64(15), np.float32(8)])
def test_every_common_frame_rate_is_kept(tmp_path: Path, fps: Any) -> None:
    write_mp4(noise(5), fps, tmp_path / "a.mp4")
    assert float(probe(tmp_path / "a.mp4")["fps"]) == pytest.approx(float(fps), rel=1e-3)


def test_tags_can_be_read_back_and_nothing_else_is_told(tmp_path: Path) -> None:
    tags = {"title": "Zoë’s “cat”; a=b, c|d 猫", "comment": "x" * 2000, "description": "AI-generated"}
    write_mp4(noise(), 8, tmp_path / "a.mp4", tags)
    found = probe(tmp_path / "a.mp4")["metadata"]
    assert {key: found[key] for key in tags} == tags
    assert set(found) - set(tags) <= {"major_brand", "minor_version", "compatible_brands"}


@pytest.mark.parametrize(("height", "width"), [(33, 47), (32, 47), (33, 48), (1, 1), (1, 50), (3, 5)])
def test_an_odd_size_is_padded_with_its_last_row_and_column(tmp_path: Path, height: int, width: int) -> None:
    write_mp4(steps(4, height, width), 8, tmp_path / "a.mp4")
    frames = read_frames(tmp_path / "a.mp4")
    assert frames.shape == (4, height + height % 2, width + width % 2, 3)
    assert shown(frames) == [0, 1, 2, 3]
    assert int(np.ptp(frames[2].astype(int))) <= 6


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (noise()[0], "shape"),
        (noise()[..., :1], "shape"),
        (np.zeros((3, 8, 8, 4), np.uint8), "shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((3, 0, 8, 3), np.uint8), "shape"),
        (np.full((2, 8, 8, 3), np.nan), "NaN"),
        (np.full((2, 8, 8, 3), np.inf, np.float16), "NaN or infinite"),
        (np.full((2, 8, 8, 3), 0.5, np.float32), "float32"),
        (np.full((2, 8, 8, 3), 200), "int64"),
        (np.full((2, 8, 8, 3), True), "bool"),
        (None, "shape"),
        ("frames", "shape"),
        (np.zeros((1, 2, 17000, 3), np.uint8), "17000"),
    ],
)
def test_what_is_no_frames_is_refused_and_leaves_no_file(tmp_path: Path, frames: Any, told: str) -> None:
    assert told in refusal(lambda: write_mp4(frames, 8, tmp_path / "a.mp4"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), None, "8", 1e300])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, fps: Any) -> None:
    assert "fps" in refusal(lambda: write_mp4(noise(), fps, tmp_path / "a.mp4"))
    assert list(tmp_path.iterdir()) == []


def test_an_encoding_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    path = tmp_path / "a.mp4"
    write_mp4(noise(), 8, path)
    before = path.read_bytes()
    made = iter(range(3))

    def limited(array: Any, **_: Any) -> Any:
        next(made)
        return original(array, format="rgb24")

    original = av.VideoFrame.from_ndarray
    monkeypatch.setattr(av, "VideoFrame", type("VideoFrame", (), {"from_ndarray": staticmethod(limited)}))
    with pytest.raises(StopIteration):
        write_mp4(noise(seed=1), 8, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_mp4(noise(), 8, tmp_path / "gone" / "a.mp4")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_an_os_error_and_leaves_no_file(tiny_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        write_mp4(noise(40, 128, 128), 8, tiny_disk / "a.mp4")
    assert list(tiny_disk.iterdir()) == []


# -- reading


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (10, None, list(range(10))),
        (10, 1, [0]),
        (10, 2, [0, 9]),
        (10, 4, [0, 3, 6, 9]),
        (21, 5, [0, 5, 10, 15, 20]),
        (10, 10, list(range(10))),
        (1, 4, [0, 0, 0, 0]),
        (3, 5, [0, 0, 1, 2, 2]),
        (1, None, [0]),
    ],
)
def test_frames_are_evenly_spaced_with_the_first_and_the_last(
    tmp_path: Path, total: int, count: int | None, expected: list[int]
) -> None:
    write_mp4(steps(total), 8, tmp_path / "a.mp4")
    frames = read_frames(tmp_path / "a.mp4", count)
    assert frames.dtype == np.uint8
    assert frames.shape == (len(expected), 32, 32, 3)
    assert shown(frames) == expected


def test_frames_come_back_as_they_were_but_for_compression(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:64, :96]
    picture = np.stack([2 * rows, 2 * columns, rows + columns], axis=-1).astype(np.uint8)
    write_mp4(np.stack([picture] * 5), 8, tmp_path / "a.mp4")
    assert np.abs(read_frames(tmp_path / "a.mp4").astype(int) - picture).mean() < 4


@pytest.fixture(params=["empty", "text", "text by name", "zeros", "half", "no end", "audio", "folder", "missing"])
def no_video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    match request.param:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("This is not a video.\n" * 50)
        case "text by name":
            path = tmp_path / "a.txt"
            path.write_text("This is not a video.\n" * 50)
        case "zeros":
            path.write_bytes(bytes(5000))
        case "half":
            # The table of contents is at the end, so none is left.
            make(path, range(20), movflags="")
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "no end":
            write_mp4(noise(20), 8, path)
            path.write_bytes(path.read_bytes()[:200])
        case "audio":
            make(path, [], sound=True)
        case "folder":
            path.mkdir()
    return path


def test_a_file_that_is_no_video_is_refused_in_one_line(no_video: Path) -> None:
    assert str(no_video) in refusal(lambda: read_frames(no_video, 3))
    assert str(no_video) in refusal(lambda: read_frames(no_video))


def test_a_finished_file_that_is_no_video_is_refused_in_one_line(no_video: Path) -> None:
    assert str(no_video) in refusal(lambda: check_mp4(no_video))


# -- black


@pytest.mark.parametrize(
    ("level", "black"), [(0, True), (video.BLACK_LEVEL, True), (video.BLACK_LEVEL + 1, False), (255, False)]
)
def test_a_clip_is_black_when_no_channel_is_above_the_level(level: int, black: bool) -> None:
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[2, 7, 7, 2] = level
    assert is_black(frames) is black


@pytest.mark.parametrize(("level", "black"), [(0, True), (12, True), (40, False)])
def test_a_finished_file_is_black_when_all_its_frames_are(tmp_path: Path, level: int, black: bool) -> None:
    frames = np.zeros((5, 32, 32, 3), np.uint8)
    frames[4] = level
    write_mp4(frames, 8, tmp_path / "a.mp4")
    assert check_mp4(tmp_path / "a.mp4") is black


DEEP = [
    ("libx264", "yuv420p10le", "tv"), ("libx264", "yuv420p10le", "pc"), ("libx264", "yuv422p10le", "tv"),
    ("libx264", "yuvj420p", "pc"), ("libx265", "yuv420p12le", "tv"), ("libx265", "gray10le", "tv"),
    ("ffv1", "gray16le", "tv"), ("ffv1", "gbrp10le", "pc"), ("ffv1", "yuva444p16le", "tv"), ("ffv1", "rgb48le", "pc"),
    ("ffv1", "ya8", "pc"), ("ffv1", "bgra", "pc"), ("prores_ks", "yuva444p10le", "tv"), ("rawvideo", "yuyv422", "tv"),
    ("rawvideo", "nv12", "tv"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "pix_fmt", "scale"), DEEP)
@pytest.mark.parametrize(
    ("levels", "black"), [((0, 0, 0), True), ((9, 9, 9), True), ((0, 0, 200), False), ((60, 60, 60), False)]
)
def test_a_finished_file_is_black_in_every_pixel_format_as_its_frames_are(
    tmp_path: Path, codec: str, pix_fmt: str, scale: str, levels: tuple[int, ...], black: bool
) -> None:
    import av

    path = tmp_path / ("a.avi" if codec == "rawvideo" else "a.mov" if codec == "prores_ks" else "a.mkv")
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=8)
        stream.height, stream.width, stream.pix_fmt, stream.codec_context.thread_count = 48, 64, pix_fmt, 1
        stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for level in levels:
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            picture = picture.reformat(format=pix_fmt, dst_color_range="JPEG" if scale == "pc" else "MPEG")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    assert check_mp4(path) is black
    assert is_black(read_frames(path)) is black


def test_frames_that_are_fine_are_returned_as_they_are() -> None:
    frames = noise()
    assert check_frames(frames) is frames
    assert check_frames(frames.tolist() and frames[:1]).shape == (1, 32, 48, 3)


@pytest.mark.parametrize("name", ["2026-01-02T03:04", "file:x", "http:", "concat:a|b", "-o", "%03d", "a?b#c", "猫:ö"])
def test_a_clip_is_written_into_a_folder_of_any_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (Path(name) / "a:1.mp4", tmp_path / name / "b.mp4"):
        write_mp4(steps(5), 8, path)
        assert shown(read_frames(path, 2)) == [0, 4]
    assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["a:1.mp4", "b.mp4"]


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_path_may_be_text(tmp_path: Path) -> None:
    write_mp4(steps(5), 8, tmp_path / "a.mp4")
    assert shown(read_frames(str(tmp_path / "a.mp4"), 2)) == [0, 4]
    assert check_mp4(str(tmp_path / "a.mp4")) is False
    assert "gone.mp4" in refusal(lambda: read_frames(str(tmp_path / "gone.mp4")))

"""Sound of clips: AAC beside frames that are encoded as without it, and what is known of a file's sound."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from popbench.video import (
    VideoError,
    check_mp4,
    check_sound,
    has_sound,
    read_frames,
    sha256,
    sound_of,
    video_info,
    write_mp4,
)
from video_files import make, sound_seconds, spoil, spoil_sound

RATE = 24_000


def moving(count: int = 50) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    return np.stack([np.roll(noise, 3 * number, axis=1) for number in range(count)])


def tone(seconds: float, rate: int = RATE, channels: int = 2) -> NDArray[np.float32]:
    """A chirp, of which every place is known, one channel quieter than the other."""
    times = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * (300 + 150 * times) * times)
    return np.stack([wave * 0.6 / (1 + channel) for channel in range(channels)], 1).astype(np.float32)


def packets(path: Path) -> list[tuple[Any, ...]]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return [
            (packet.pts, packet.dts, packet.duration, packet.time_base, packet.is_keyframe, bytes(packet))
            for packet in file.demux(stream)
        ]


def heard(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as file:
        parts = [frame.to_ndarray() for frame in file.decode(audio=0)]
    return np.concatenate(parts, axis=1).T.astype(np.float32)


@pytest.mark.parametrize("fps", [8, 24, 23.976, 60])
@pytest.mark.parametrize("rate", [8000, 24_000, 44_100, 48_000])
def test_frames_are_encoded_and_timed_as_without_sound(tmp_path: Path, rate: int, fps: float) -> None:
    silent, both = tmp_path / "silent.mp4", tmp_path / "both.mp4"
    write_mp4(moving(), fps, silent)
    write_mp4(moving(), fps, both, sound=tone(50 / fps, rate), sample_rate=rate)
    assert packets(silent) == packets(both)
    assert np.array_equal(read_frames(silent), read_frames(both))
    assert video_info(silent) == video_info(both)
    assert check_mp4(both) is False


def test_a_clip_without_sound_keeps_its_bytes(tmp_path: Path) -> None:
    write_mp4(moving(), 8, tmp_path / "a.mp4")
    write_mp4(moving(), 8, tmp_path / "b.mp4", sound=None, sample_rate=RATE)
    assert sha256(tmp_path / "a.mp4") == sha256(tmp_path / "b.mp4")
    assert not has_sound(tmp_path / "a.mp4")


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (RATE, 2), (48_000, 2), (8000, 1), (96_000, 2)])
def test_sound_is_heard_as_it_was_given_and_when(tmp_path: Path, rate: int, channels: int) -> None:
    given = tone(50 / 24, rate, channels)
    write_mp4(moving(), 24, tmp_path / "a.mp4", sound=given, sample_rate=rate)
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("aac", rate, channels)
    assert sound_seconds(tmp_path / "a.mp4") == pytest.approx(50 / 24, abs=0.002)
    decoded = heard(tmp_path / "a.mp4")
    assert decoded.shape[1] == channels
    for channel in range(channels):
        like = np.corrcoef(decoded[: len(given), channel], given[:, channel])[0, 1]
        assert like > 0.99, "neither late, nor early, nor the other channel"
    assert np.abs(decoded[: len(given), 0]).max() == pytest.approx(0.6, abs=0.1)
    assert sound_of(tmp_path / "a.mp4") == (True, None)
    assert has_sound(tmp_path / "a.mp4")


def test_sound_and_frames_are_stored_side_by_side(tmp_path: Path) -> None:
    write_mp4(moving(120), 24, tmp_path / "a.mp4", sound=tone(5), sample_rate=RATE)
    with av.open(str(tmp_path / "a.mp4")) as file:
        kinds = [packet.stream.type for packet in file.demux() if packet.size]
    early = kinds[: len(kinds) // 2]
    assert early.count("audio") > kinds.count("audio") // 3
    assert early.count("video") > kinds.count("video") // 3


CODE = """
import sys, hashlib, pathlib, numpy as np
from popbench.video import write_mp4
draw = np.random.default_rng(5)
frames = draw.integers(0, 256, (30, 96, 128, 3), dtype=np.uint8)
sound = draw.uniform(-1, 1, (72000, 2)).astype(np.float32)
path = pathlib.Path(sys.argv[1]) / f"{sys.argv[2]}.mp4"
for _ in range(4):
    write_mp4(frames, 10, path, {"comment": "c"}, sound=sound, sample_rate=24000)
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_the_same_sound_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path), str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    lines = [line for run in runs for line in run.communicate(timeout=60)[0].split()]
    assert len(lines) == 8
    assert len(set(lines)) == 1


def test_other_sound_rates_and_channels_give_other_bytes(tmp_path: Path) -> None:
    hashes = set()
    for given, rate in ((tone(6.25), RATE), (-tone(6.25), RATE), (tone(6.25, channels=1), RATE), (tone(5.5), 22_050)):
        write_mp4(moving(), 8, tmp_path / "a.mp4", sound=given, sample_rate=rate)
        hashes.add(sha256(tmp_path / "a.mp4"))
    assert len(hashes) == 4


@pytest.mark.parametrize("seconds", [1.3, 2.0, 2.9])
def test_sound_is_cut_or_followed_by_silence_to_the_length_of_the_frames(tmp_path: Path, seconds: float) -> None:
    write_mp4(moving(16), 8, tmp_path / "a.mp4", sound=tone(seconds), sample_rate=RATE)
    assert sound_seconds(tmp_path / "a.mp4") == pytest.approx(2, abs=0.002)
    after = heard(tmp_path / "a.mp4")[round((seconds + 0.1) * RATE) : 2 * RATE]
    assert np.abs(after).max(initial=0) < 0.01


def test_of_one_frame_a_moment_is_heard(tmp_path: Path) -> None:
    write_mp4(moving(1), 1000, tmp_path / "a.mp4", sound=tone(0.01), sample_rate=8000)
    assert sound_of(tmp_path / "a.mp4") == (True, None)
    assert len(read_frames(tmp_path / "a.mp4")) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_precision_of_floats_is_taken(dtype: Any) -> None:
    found = check_sound(tone(0.1).astype(dtype), np.int64(RATE))
    assert found.dtype == np.float32
    assert np.allclose(found, tone(0.1), atol=1e-3)


@pytest.mark.parametrize(
    ("sound", "rate", "told"),
    [
        (tone(6)[:, 0], RATE, "sound has shape (144000,), expected (samples, channels) of 1 or 2 channels"),
        (tone(6).T, RATE, "sound has shape (2, 144000)"),
        (np.zeros((144_000, 6), np.float32), RATE, "of 1 or 2 channels"),
        (np.zeros((0, 2), np.float32), RATE, "sound has shape (0, 2)"),
        ("beep", RATE, "sound has shape ()"),
        ((tone(6) * 32_767).astype(np.int16), RATE, "sound is int16, expected floats from -1 to 1"),
        (tone(6) * 32_767, RATE, "sound has values up to 1.966e+04, expected -1 to 1"),
        (np.where(tone(6) > 0.5, np.nan, 0), RATE, "sound holds NaN or infinite values (float64)"),
        (np.full((144_000, 1), np.inf, np.float16), RATE, "sound holds NaN or infinite values (float16)"),
        (tone(6), None, "sample_rate is None, expected samples a second, such as 48000"),
        (tone(6), 24_000.0, "sample_rate is 24000.0"),
        (tone(6), True, "sample_rate is True"),
        (tone(6), 50_000, "sample_rate is 50000, expected one that AAC has: 8000, 11025,"),
        (tone(6), -1, "sample_rate is -1"),
        (tone(6), 48_000, "takes 3.00 s and the frames 6.00 s: they may differ by 1 s (is sample_rate=48000 right?)"),
        (tone(7.1), RATE, "sound takes 7.10 s and the frames 6.00 s"),
    ],
)  # fmt: skip
def test_what_is_no_sound_of_the_clip_is_refused_and_leaves_no_file(
    tmp_path: Path, sound: Any, rate: Any, told: str
) -> None:
    with pytest.raises(VideoError) as caught:
        write_mp4(moving(48), 8, tmp_path / "a.mp4", sound=sound, sample_rate=rate)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# -- the sound of files


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("movflags", ["+faststart", "", "+frag_keyframe+empty_moov"])
def test_a_header_says_whether_a_file_has_sound(tmp_path: Path, name: str, movflags: str) -> None:
    for sound in (True, False):
        path = make(tmp_path / name, sound=sound, movflags=movflags)
        assert has_sound(path) is sound
        assert sound_of(path) == (sound, None)


def test_sound_that_cannot_be_decoded_is_told_and_the_frames_are_as_before(tmp_path: Path) -> None:
    write_mp4(moving(), 24, tmp_path / "a.mp4", sound=tone(50 / 24), sample_rate=RATE)
    before = read_frames(tmp_path / "a.mp4")
    found, wrong = sound_of(spoil_sound(tmp_path / "a.mp4"))
    assert found
    assert wrong
    assert len(wrong.splitlines()) == 1
    assert check_mp4(tmp_path / "a.mp4") is False
    assert np.array_equal(read_frames(tmp_path / "a.mp4"), before)


def test_what_is_no_mp4_or_is_damaged_has_no_sound_to_show(tmp_path: Path) -> None:
    nested = b""
    for _ in range(5000):
        nested = (len(nested) + 8).to_bytes(4, "big") + b"moov" + nested
    contents = {
        "empty": b"", "text": b"hello world, hello world", "zeros": bytes(5000), "nested": nested,
        "endless": b"\x00\x00\x00\x08free" * 200_000, "long": b"\x00\x00\x00\x01moov" + b"\xff" * 100,
        "short": b"\x00\x00\x00\x03moov" * 9, "to-the-end": b"\x00\x00\x00\x00moov\x00\x00\x00\x00trak",
    }  # fmt: skip
    began = time.monotonic()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert not has_sound(tmp_path / name), name
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", tmp_path / "nul\0", tmp_path / ("x" * 300)):
        assert not has_sound(path)
    assert time.monotonic() - began < 5


def test_a_file_cut_or_overwritten_anywhere_never_raises(tmp_path: Path) -> None:
    write_mp4(moving(), 24, tmp_path / "a.mp4", sound=tone(50 / 24), sample_rate=RATE)
    whole = (tmp_path / "a.mp4").read_bytes()
    path = tmp_path / "b.mp4"
    for place in range(20):
        path.write_bytes(whole[: len(whole) * place // 20])
        has_sound(path)
        path.write_bytes(whole)
        spoil(path, place / 20, (place + 1) / 20)
        has_sound(path)
        try:
            _, wrong = sound_of(path)
        except VideoError:
            continue
        assert wrong is None or len(wrong.splitlines()) == 1


def test_a_header_is_read_in_a_tenth_of_a_millisecond(tmp_path: Path) -> None:
    write_mp4(moving(), 24, tmp_path / "a.mp4", sound=tone(50 / 24), sample_rate=RATE)
    began = time.perf_counter()
    for _ in range(300):
        assert has_sound(tmp_path / "a.mp4")
    assert time.perf_counter() - began < 0.6  # 20 times what it takes


@pytest.mark.parametrize("sound", [True, False])
def test_the_sound_of_webm_is_found_too(tmp_path: Path, sound: bool) -> None:
    path = make(tmp_path / "a.webm", sound=sound).rename(tmp_path / "a.mp4")
    assert has_sound(path) is sound
    assert sound_of(path) == (sound, None)

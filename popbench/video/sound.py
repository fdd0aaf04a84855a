"""Sound of clips: checks what a generator gives, encodes it, and finds out whether a file has any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.video.boxes import boxes
from popbench.video.decoding import opened
from popbench.video.frames import VideoError, message_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUND_ENCODER: Mapping[str, Any] = {
    "codec": "aac",
    "coder": "fast",
    "bits_per_channel": 96_000,
    "threads": 1,
    "version": 1,
}
"""All settings that the sound of an mp4 depends on beside its samples: part of the key of clips with sound alone.

ffmpeg's usual coder, `twoloop`, overshoots where a tone begins (a peak of 0.6 came back as 1.06) and takes longer; the
one that it calls fast does not.
"""

SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Samples a second that AAC has: none is converted."""

LONGEST_GAP = 1.0
"""Seconds by which sound and frames may differ: models round the two lengths to different units."""

_PACKET = 1024
"""Samples that AAC encodes together."""
_FEW = 10_000
"""Boxes that are looked at: a file of a stranger's may have millions."""
_WEBM_HEAD = 4096
"""Bytes of a WebM in which its streams are named."""


def check_sound(sound: Any, sample_rate: Any) -> NDArray[np.float32]:
    """Return `sound` as float32 (samples, channels); raises VideoError that says what is wrong with it or its rate."""
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | np.integer):
        raise VideoError(f"sample_rate is {sample_rate!r:.50}, expected samples a second, such as 48000")
    if sample_rate not in SAMPLE_RATES:
        raise VideoError(
            f"sample_rate is {sample_rate}, expected one that AAC has: {', '.join(map(str, SAMPLE_RATES))}"
        )
    array = np.asarray(sound)
    if array.ndim != 2 or array.shape[1] not in (1, 2) or not len(array):
        raise VideoError(f"sound has shape {array.shape}, expected (samples, channels) of 1 or 2 channels")
    if not np.issubdtype(array.dtype, np.floating):
        raise VideoError(f"sound is {array.dtype}, expected floats from -1 to 1")
    if not np.isfinite(array).all():
        raise VideoError(f"sound holds NaN or infinite values ({array.dtype}): try a higher precision")
    peak = float(np.abs(array).max())
    if peak > 1:
        raise VideoError(
            f"sound has values up to {peak:.4g}, expected -1 to 1: scale it, or cut it off with numpy.clip"
        )
    return array.astype(np.float32, copy=False)


def fit_sound(sound: NDArray[np.float32], sample_rate: int, seconds: float) -> NDArray[np.float32]:
    """Return checked sound as long as its clip: cut at the end, or followed by silence.

    Raises VideoError if the lengths differ by more than `LONGEST_GAP`.
    """
    has = len(sound) / sample_rate
    if abs(has - seconds) > LONGEST_GAP:
        raise VideoError(
            f"sound takes {has:.2f} s and the frames {seconds:.2f} s: they may differ by {LONGEST_GAP:g} s "
            f"(is sample_rate={sample_rate} right?)"
        )
    wanted = max(1, round(seconds * sample_rate))
    return np.pad(sound[:wanted], ((0, max(0, wanted - len(sound))), (0, 0)))


class SoundTrack:
    """The sound of an mp4 that is written: encoded along with the frames, so that a player reads both together."""

    def __init__(self, file: Any, sound: NDArray[np.float32], sample_rate: int) -> None:
        self._file, self._sound, self._rate, self._done = file, sound, int(sample_rate), 0
        self._layout = "mono" if sound.shape[1] == 1 else "stereo"
        self._stream: Any = file.add_stream(SOUND_ENCODER["codec"], rate=self._rate, layout=self._layout)
        self._stream.codec_context.thread_count = SOUND_ENCODER["threads"]
        self._stream.codec_context.bit_rate = SOUND_ENCODER["bits_per_channel"] * sound.shape[1]
        self._stream.options = {"aac_coder": SOUND_ENCODER["coder"], "flags": "+bitexact"}

    def write(self, seconds: float) -> None:
        """Encode what is heard before this moment of the clip."""
        import av

        while self._done < min(len(self._sound), seconds * self._rate):
            part = np.ascontiguousarray(self._sound[self._done : self._done + _PACKET].T)
            samples: Any = av.AudioFrame.from_ndarray(part, format="fltp", layout=self._layout)
            samples.sample_rate, samples.pts, samples.time_base = self._rate, self._done, Fraction(1, self._rate)
            self._file.mux(self._stream.encode(samples))
            self._done += _PACKET

    def end(self) -> None:
        """Write what the encoder still holds."""
        self._file.mux(self._stream.encode(None))


def sound_of(path: Path | str) -> tuple[bool, str | None]:
    """Return whether a video file has sound, and what is wrong with it; None if all of it can be decoded.

    Raises VideoError if the file is no video.
    """
    with opened(path) as (file, _):
        if not file.streams.audio:
            return False, None
        stream = file.streams.audio[0]
        if stream.codec_context is None:
            return True, "there is no decoder for it"
        decoded = False
        try:
            for _ in _samples(file, stream):
                decoded = True
        except Exception as error:  # PyAV wraps most of what a damaged file can cause, but not all
            return True, message_of(error)
        return True, None if decoded else "there is nothing in it"


def _samples(file: Any, stream: Any) -> Iterator[Any]:
    for packet in file.demux(stream):
        yield from packet.decode()


def has_sound(path: Path) -> bool:
    """Return whether an mp4, mov or WebM has sound, as its header says; False for other files, and missing ones.

    This takes a tenth of a millisecond. A report asks it of thousands of clips.
    """
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            head = file.read(_WEBM_HEAD)
            if head.startswith(b"\x1aE\xdf\xa3"):
                return any(codec in head for codec in (b"A_OPUS", b"A_VORBIS"))
            found = boxes(file, 0, path.stat().st_size, inside=(b"moov", b"trak", b"mdia"))
            return any(
                kind == b"hdlr" and file.seek(start + 8) and file.read(4) == b"soun"
                for kind, start, _ in islice(found, _FEW)
            )
    except (OSError, ValueError):  # also for a path with NUL
        return False

"""Checks video generators."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.errors import one_line
from popbench.interfaces import VideoGenerator
from popbench.records import JSON, Clip, VideoRequest
from popbench.testing.components import check_component, find_subject, require
from popbench.testing.requests import sample_video_requests
from popbench.testing.rules import Book, Report
from popbench.testing.streams import Outcomes, Traits, check_stream
from popbench.video import (
    VideoError,
    check_frames,
    check_mp4,
    check_sound,
    fit_sound,
    is_black,
    sha256,
    sound_of,
    write_mp4,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A clip for comparison. Frames are hashed at once, since a generator may reuse its buffer."""

    what: str
    sha256: str


def check_generator(
    generator: str | VideoGenerator | type[VideoGenerator],
    *,
    requests: Sequence[VideoRequest] | None = None,
    repeatable: bool = True,
    other_options: Mapping[str, JSON] | None = None,
) -> Report:
    """Check a video generator: every rule of components and of streams, and that clips can be encoded.

    `requests` replaces the sample requests; a slow model does with two. `repeatable=False` makes notes of clips
    that differ under one seed. `other_options` gives values to try where the kit cannot guess one, for the
    fingerprint rules. Raises ConformanceError, an AssertionError with all breaches; UsageError for a spec that
    does not resolve and for a generator that cannot run here.
    """
    subject = find_subject("generator", generator)
    book = Book("generator", subject.name, repeatable and subject.component.repeatable is not False)
    require(book, check_component(book, subject, other_options or {}))
    wanted = sample_video_requests() if requests is None else list(requests)
    traits = Traits(
        lambda component, items: component.generate(items), partial(_judge, subject.component), _differ, _rename
    )
    _note_shapes(book, wanted, check_stream(book, traits, subject, wanted))
    return book.conclude()


def _judge(generator: Any, book: Book, request: VideoRequest, answer: Any) -> _Pictures | None:
    book.look("frames", "fps", "black", "sound")
    book.expect("sound", isinstance(generator.makes_sound, bool), f"makes_sound is {generator.makes_sound!r}")
    if not book.expect("type", isinstance(answer, Clip), f"yielded {type(answer).__name__}", request.id):
        return None
    try:
        return _of_file(book, answer) if answer.path is not None else _of_frames(generator, book, answer)
    except (VideoError, OSError) as error:
        book.breach("frames", one_line(str(error)), request.id)
        return None


def _of_file(book: Book, clip: Clip) -> _Pictures:
    path = Path(clip.path or "")
    if not path.is_file():
        raise VideoError(f"path {path} is no file")
    book.expect("black", not check_mp4(path), "every frame of the file is black", clip.id)
    book.expect("sound", clip.sound is None, "a finished file and sound beside it", clip.id)
    _, wrong = sound_of(path)
    if wrong is not None:
        book.note(f"{clip.id}: the sound of its file cannot be decoded ({wrong})")
    return _Pictures("a file", sha256(path))


def _of_frames(generator: VideoGenerator, book: Book, clip: Clip) -> _Pictures:
    if clip.frames is None:
        raise VideoError("clip has neither frames nor a path")
    frames = check_frames(clip.frames)
    fps = clip.fps
    fine = isinstance(fps, int | float) and math.isfinite(fps) and fps > 0
    if book.expect("fps", fine, f"fps is {fps!r}", clip.id):
        _encode(frames[:1], float(fps or 0))
    book.expect("black", not is_black(frames), "every frame is black", clip.id)
    count, height, width, _ = frames.shape
    what, sound = f"{count} frames of {width}x{height} at {fps} fps", b""
    if clip.sound is not None and fine:
        what += f" with sound at {clip.sample_rate} Hz"
        sound = _sound(generator, book, clip, count / float(fps or 0))
    return _Pictures(what, hashlib.sha256(frames.tobytes() + sound).hexdigest())


def _sound(generator: VideoGenerator, book: Book, clip: Clip, seconds: float) -> bytes:
    """Check the sound that goes with frames; returns its bytes."""
    declared = generator.makes_sound is True
    book.expect("sound", declared, "it is given, and the class does not say makes_sound = True", clip.id)
    try:
        sound = check_sound(clip.sound, clip.sample_rate)
        fit_sound(sound, int(clip.sample_rate or 0), seconds)
    except VideoError as error:
        book.breach("sound", str(error), clip.id)
        return b""
    return sound.tobytes()


def _encode(frames: NDArray[np.uint8], fps: float) -> None:
    """Encode frames; raises VideoError if that fails for any reason."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_mp4(frames, fps, Path(folder) / "clip.mp4")
        except Exception as error:
            raise VideoError(f"frames cannot be encoded at {fps} fps: {one_line(error)}") from error


def _differ(one: _Pictures, two: _Pictures) -> str | None:
    if one.what != two.what:
        return f"{one.what} became {two.what}"
    pixels = "other pixels or sound" if "sound" in one.what else "other pixels"
    return None if one == two else f"{pixels} ({one.what}, SHA-256 {one.sha256[:12]} became {two.sha256[:12]})"


def _rename(request: VideoRequest) -> VideoRequest:
    return replace(request, id=f"other-{request.id}")


def _note_shapes(book: Book, requests: Sequence[VideoRequest], first: Outcomes) -> None:
    clips = {id_: value for id_, value in first.items() if isinstance(value, _Pictures)}
    shapes = sorted({clip.what for clip in clips.values()})
    if len(shapes) > 1:
        book.note(f"clips are not all alike: {', '.join(shapes)}")
    by_prompt: dict[str, list[str]] = {}
    for request in requests:
        if request.id in clips:
            by_prompt.setdefault(request.prompt, []).append(clips[request.id].sha256)
    if any(len(same) > 1 and len(set(same)) == 1 for same in by_prompt.values()):
        book.note("another seed gave the same clip")

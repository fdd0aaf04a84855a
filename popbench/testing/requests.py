"""The requests of the kit: a few small ones, the same on every machine, with the difficulties of real ones.

They have scripts other than Latin, emoji, quotes and braces, references, a very short and a long prompt, one prompt
with two seeds, and videos of odd size and portrait shape, one of them with sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from popbench.interfaces.uses import DEFAULT_USES, score_request
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.records import Chat, CompareRequest, Message, Reference, ScoreRequest, VideoRequest
from popbench.video import write_mp4

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = "A red kite climbs over a windy beach while two children run after it"
AWKWARD = '雨の夜、「猫」が歩く 🐈\u200d⬛ – "quoted", {braces}\nand a second line'
LONG = " ".join(f"Shot {number}: the camera circles a lighthouse at dusk." for number in range(1, 31))

_RATE = 16_000
"""Samples of sound in a second."""

_SYSTEM = (
    "You make micro-videos. Answer with one JSON object and nothing else: "
    '{"title": at most 50 characters, "video_prompt": one paragraph for a video generator}.'
)
_REFERENCES = (
    Reference("r1", "Can you fold this kite?", "hands and paper", "a kite of paper", "Daily", 812, popular=True),
    Reference("r2", "Why we cried at the beach 😭", "a beach", "people on sand", "Daily", 460, popular=True),
    Reference("r3", "Untitled 7", "", "a grey sky", "Daily", 1, popular=False),
)


def _chat(id_: str, seed: int, prompt: str, references: Sequence[Reference] = ()) -> Chat:
    shown = "".join(f"- {ref.title} ({ref.caption}), {ref.popularity} comments\n" for ref in references)
    user = (f"These did well, or badly:\n{shown}\n" if shown else "") + f"Request: {prompt}"
    messages = (Message(role="system", content=_SYSTEM), Message(role="user", content=user))
    return Chat(id_, messages, seed, DRAFT_SCHEMA, prompt, tuple(references))


def sample_chats() -> list[Chat]:
    """Return chats for LLMs; the last is the first with another seed."""
    return [
        _chat("chat-plain", 11, PLAIN),
        _chat("chat-references", 12, PLAIN, _REFERENCES),
        _chat("chat-awkward", 13, AWKWARD),
        _chat("chat-short", 14, "Cats"),
        _chat("chat-plain-reseeded", 2**31 - 1, PLAIN),
    ]


def sample_video_requests() -> list[VideoRequest]:
    """Return requests for generators; the last is the first with another seed."""
    return [
        VideoRequest("clip-plain", PLAIN, 21),
        VideoRequest("clip-awkward", " ".join(AWKWARD.split()), 22),
        VideoRequest("clip-long", LONG, 23),
        VideoRequest("clip-plain-reseeded", PLAIN, 2**31 - 1),
    ]


def sample_texts() -> list[str]:
    """Return texts for embedders; the last two are blank."""
    return [PLAIN, AWKWARD, LONG, "Cats", "A kite of paper over the sea", PLAIN.upper(), " \t ", ""]


def sample_score_requests(folder: Path, uses: frozenset[str] = DEFAULT_USES) -> list[ScoreRequest]:
    """Write three small clips into `folder` and return requests for a predictor with these `uses` about them.

    The second clip has sound, the others have none. The last request is the first clip with another title.
    """
    clips = {"bars": bars(48, 64), "rings": rings(55, 97), "drift": drift(128, 72)}
    for name, frames in clips.items():
        write_mp4(frames, 8, folder / f"{name}.mp4")
    _add_sound(folder / "rings.mp4")
    first = _score_request(
        "score-bars",
        "Wait for the last second",
        folder / "bars.mp4",
        prompt=PLAIN,
        video_prompt="Upright bars of light wander over a wall",
        category="abstract",
        extra={"lang": "en", "tags": ["bars", "light"]},
    )
    requests = [
        first,
        _score_request(
            "score-odd-size",
            '雨の夜 🐈\u200d⬛: who is "it"? {really}',
            folder / "rings.mp4",
            prompt=AWKWARD,
            video_prompt=" ".join(AWKWARD.split()),
            category="猫",
            extra={"lang": None, "tags": []},
        ),
        _score_request(
            "score-portrait",
            "7 ways to fly a kite!",
            folder / "drift.mp4",
            prompt="Cats",
            video_prompt=LONG,
            category="abstract",
            extra={"lang": "fr", "tags": ["🪁"]},
        ),
        replace(first, id="score-bars-retitled", title="A quiet walk"),
    ]
    return [_as_used(request, uses) for request in requests]


def sample_compare_requests(folder: Path, uses: frozenset[str] = DEFAULT_USES) -> list[CompareRequest]:
    """Return requests for a pairwise predictor with these `uses`: pairs of the sample clips, each both ways round."""
    first, *others = sample_score_requests(folder, uses)
    pairs = [(first, replace(other, prompt=first.prompt, category=first.category)) for other in others[:2]]
    return [compare_request(*sides) for pair in pairs for sides in (pair, pair[::-1])]


def compare_request(first: ScoreRequest, second: ScoreRequest) -> CompareRequest:
    """Return a request about two clips, in this order."""
    return CompareRequest(f"{first.id}-or-{second.id}", first, second)


def _add_sound(path: Path) -> None:
    """Add two seconds of a tone that fades to an mp4."""
    import av

    silent = path.rename(path.with_name(f"silent-{path.name}"))
    times = np.arange(2 * _RATE) / _RATE
    tone = (np.sin(2 * np.pi * 440 * times) * np.linspace(0.5, 0, len(times))).astype(np.float32)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(silent)) as read, av.open(str(path), "w", format="mp4", options=options) as file:
        pictures = file.add_stream_from_template(read.streams.video[0])
        sound = file.add_stream("aac", rate=_RATE, layout="mono")
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                file.mux(packet)
        for start in range(0, len(tone), 1024):
            samples = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = _RATE, start, Fraction(1, _RATE)
            file.mux(sound.encode(samples))
        file.mux(sound.encode(None))
    silent.unlink()


def _score_request(id_: str, title: str, path: Path, **others: Any) -> ScoreRequest:
    return ScoreRequest(id_, title, path, task="popbench.testing", **others)


def _as_used(request: ScoreRequest, uses: frozenset[str]) -> ScoreRequest:
    """Return a request with what is used, and nothing else."""
    used = {name: getattr(request, "path" if name == "video" else name) for name in uses}
    return score_request(request.id, used, request.path)


def bad_score_requests(folder: Path, item: ScoreRequest, uses: frozenset[str]) -> dict[str, ScoreRequest]:
    """Return requests that are hard to score, by the rule that they test: `item` with one thing replaced.

    Writes a file into `folder` that has a video's name and is not a video.
    """
    bad = {}
    if "video" in uses:
        path = folder / "broken.mp4"
        path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8)
        bad["broken_video"] = replace(item, id="score-broken-file", path=path)
    if "title" in uses:
        bad["empty_title"] = replace(item, id="no-title", title="")
    if "video_prompt" in uses:
        bad["no_video_prompt"] = replace(item, id="no-video-prompt", video_prompt=None)
    if "extra" in uses:
        bad["no_extra"] = replace(item, id="no-extra", extra={})
    return bad


def _grid(height: int, width: int, count: int = 16) -> tuple[NDArray[np.int64], ...]:
    return tuple(np.ogrid[0:count, 0:height, 0:width])


def _rgb(*planes: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack(np.broadcast_arrays(*planes), axis=-1).astype(np.uint8)


def bars(height: int, width: int) -> NDArray[np.uint8]:
    """Paint upright bars that move to the left."""
    time, _, x = _grid(height, width)
    y = np.zeros((1, height, 1), np.int64)
    bar = (x + 3 * time) // 8 % 2
    return _rgb(40 + 180 * bar + y, 200 - 150 * bar + y, 90 + 60 * bar + y)


def rings(height: int, width: int) -> NDArray[np.uint8]:
    """Paint rings that grow from the middle."""
    time, y, x = _grid(height, width)
    far = (y - height // 2) ** 2 + (x - width // 2) ** 2
    ring = (far // 16 - 5 * time) % 64
    return _rgb(255 - 3 * ring, 60 + 2 * ring, 120 + ring)


def drift(height: int, width: int) -> NDArray[np.uint8]:
    """Paint a slope of light that drifts down."""
    time, y, x = _grid(height, width)
    slope = (y + 4 * time) % height * 255 // height
    return _rgb(slope + 0 * x, (slope + 2 * x) % 256, 255 - slope + 0 * x)

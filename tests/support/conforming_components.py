"""Components that keep every rule of the conformance kit, in a few lines each."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
from popbench.video import VideoError, read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Plain(popbench.LLM):
    """Answers with a hash."""

    version = "1"

    class Options(popbench.Options):
        style: str = "dry"
        threads: int = popbench.runtime(1)

    def reply(self, chat: popbench.Chat) -> Any:
        text = f"{self.options.style} {chat.prompt} {chat.seed}"
        return popbench.Completion(chat.id, hashlib.sha256(text.encode()).hexdigest())

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            yield self.reply(chat)


class Noise(popbench.VideoGenerator):
    """Renders noise."""

    version = "1"

    def paint(self, request: popbench.VideoRequest) -> Any:
        seed = zlib.crc32(f"{request.prompt}{request.seed}".encode())
        frames = np.random.default_rng(seed).integers(0, 256, (3, 16, 18, 3), np.uint8)
        return popbench.Clip(request.id, frames, fps=8)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            yield self.paint(request)


class Ticking(Noise):
    """Renders noise that is heard too."""

    makes_sound = True

    def paint(self, request: popbench.VideoRequest) -> Any:
        clip = super().paint(request)
        draw = np.random.default_rng(request.seed)
        return replace(clip, sound=draw.uniform(-1, 1, (9000, 2)).astype(np.float32), sample_rate=24_000)


class Brightness(popbench.Predictor):
    """Scores bright videos with long titles highest."""

    version = "1"
    unit = "views"

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return 1.0 + float(read_frames(item.path, 4).mean()) + len(item.title)

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            try:
                yield popbench.Score(item.id, self.popularity(item))
            except VideoError as error:
                yield popbench.Failure(item.id, str(error))


class Relevance(popbench.Predictor):
    """Scores texts: how many words of the prompt are in the video prompt, and how many hashtags there are."""

    version = "1"
    unit = "relevance"
    uses = frozenset({"prompt", "video_prompt", "extra"})

    def relevance(self, item: popbench.ScoreRequest) -> float:
        if (item.title, item.path, item.category, item.task) != ("", Path(), None, None):
            raise AssertionError("it does not use these")
        words = str(item.prompt).split()
        shown = 0 if item.video_prompt is None else sum(word in item.video_prompt for word in words)
        return 1.0 + shown + len(item.extra.get("tags") or [])

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            yield popbench.Score(item.id, self.relevance(item))


class Longer(popbench.PairwisePredictor):
    """Takes the video with the longer title."""

    version = "1"
    uses = frozenset({"title"})

    def prefers(self, item: popbench.CompareRequest) -> Any:
        first, second = len(item.first.title), len(item.second.title)
        return 0.5 if first == second else float(first > second)

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score]:
        for item in items:
            yield popbench.Score(item.id, self.prefers(item))


class Letters(popbench.Embedder):
    """Counts letters."""

    version = "1"

    def row(self, text: str) -> NDArray[np.float32]:
        counts = np.zeros(16, np.float32)
        for letter in text.split():
            counts[zlib.crc32(letter.encode()) % 16] += 1
        length = np.linalg.norm(counts)
        return (counts / length if length else counts).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([*(self.row(text) for text in texts), np.zeros(16, np.float32)])[:-1]


class Shelf(popbench.Corpus):
    """Holds three videos."""

    version = "1"

    def books(self) -> list[tuple[str, Any]]:
        return [
            (part, popbench.Reference(part[:2], f"A {part} title", "", "", "tag", popularity))
            for part, popularity in (("train", 3.0), ("valid", 0.0), ("test", 7.0))
        ]

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        if part not in ("train", "valid", "test", "all"):
            raise ValueError(f"no part {part!r}")
        return (row for of, row in self.books() if part in (of, "all"))

"""An LLM, two generators and a predictor as they were written for popbench 0.1. Never to be changed: see the README."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

import popbench
from popbench.video import VideoError, video_info


class Memo(popbench.LLM):
    """Writes the prompt down, with many calls at once, and knows its prices."""

    version = "1"
    note = "Memo has never been online."

    class Options(popbench.Options):
        tone: Literal["calm", "loud"] = pydantic.Field("calm", description="how titles sound")
        words: int = pydantic.Field(6, ge=1, description="words of a title")
        concurrency: int = popbench.runtime(4, ge=1, description="calls at once")

    def check(self) -> list[str]:
        return []

    def notices(self) -> list[str]:
        return ["memo retires some day"]

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def label(self) -> str | None:
        return None if self.options.tone == "calm" else "memo-loud"

    def fingerprint(self) -> Mapping[str, popbench.JSON]:
        return {**super().fingerprint(), "revision": "4f1c2e"}

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return (usage.get("input", 0) * 1.0 + usage.get("output", 0) * 4.0) / 1_000_000

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        return sum(len(message["content"]) for message in messages) < 20_000

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        yield from popbench.concurrently(chats, self._ask, limit=self.options.concurrency, retry=popbench.Retry())

    def _ask(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        usage = {"input": sum(len(message["content"]) for message in chat.messages), "output": 40}
        if "secret" in chat.prompt:
            return popbench.Failure(chat.id, "refused: it is secret", True, reason="refusal", usage=usage)
        if "riddle" in chat.prompt and chat.seed % 2:
            return popbench.Completion(chat.id, "It is a riddle.", usage=usage, remarks=("riddled",), cut=True)
        title = " ".join(chat.prompt.split()[: self.options.words])[:50]
        if self.options.tone == "loud":
            title = title.upper()
        seen = ", ".join(reference.id for reference in chat.references) or "nothing"
        text = json.dumps({"title": title, "video_prompt": f"{chat.prompt}, after {seen}"})
        return popbench.Completion(chat.id, text, "I thought of it.", usage, notes=("written at once",))


class Fade(popbench.VideoGenerator):
    """Fades from one colour to another."""

    version = "1"

    class Options(popbench.Options):
        frames: int = pydantic.Field(4, ge=1)

    def needs(self) -> popbench.Needs:
        return popbench.Needs(memory_gb=0.1)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            draw = np.random.default_rng([request.seed, *request.prompt.encode()])
            first, last = draw.integers(40, 255, (2, 3))
            steps = np.linspace(0, 1, self.options.frames)[:, None, None, None]
            frames = np.broadcast_to(first + (last - first) * steps, (self.options.frames, 36, 64, 3))
            yield popbench.Clip(request.id, frames.astype(np.uint8), 8, notes=("faded",))


class Still(popbench.VideoGenerator):
    """Hands over a finished file, in a folder of its own until it is closed."""

    version = "1"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._folder: Path | None = None

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp())
        for number, request in enumerate(requests):
            if "dark" in request.prompt:
                yield popbench.Failure(request.id, "the lamp is broken", invalid=True, reason="no light")
                continue
            path = self._folder / f"{number}.mp4"
            shutil.copyfile(Path(__file__).with_name("still.mp4"), path)
            yield popbench.Clip(request.id, path=str(path), seconds=0.5, usage={"video_seconds": 0.5})

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None


class Length(popbench.Predictor):
    """Takes long titles for popular."""

    version = "1"
    unit = "comments"

    def trained_on(self) -> list[str]:
        return ["shelf/train"]

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            try:
                width = float(video_info(item.path).width)
            except VideoError as error:
                yield popbench.Failure(item.id, str(error))
                continue
            letters = len(item.title)
            if letters % 3 == 0:
                yield popbench.Score(item.id, popularity=1.0 + letters, extra={"letters": letters})
            elif letters % 3 == 1:
                yield popbench.Score(item.id, 1.0 + letters, {"extra": 1})
            else:
                extra = {"novelty": {"title": 0.5}, "say": "wide", "width": width}
                yield popbench.Score(item.id, 1.0 + letters, extra, 0.25, 12.0, ("scored",))

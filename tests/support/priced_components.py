"""Components with prices: an LLM and a predictor by the token, a generator by the second of video."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

import popbench

TOKEN = 0.001
"""USD for a token of any kind."""
SECOND = 0.5
"""USD for a second of video."""


class Account:
    """What the calls in this process cost, and how many had ended when each clip was begun."""

    lock = threading.Lock()
    spent = 0.0
    calls = 0
    ended_at_start: ClassVar[list[int]] = []

    @classmethod
    def pay(cls, usd: float) -> None:
        with cls.lock:
            cls.spent += usd
            cls.calls += 1

    @classmethod
    def begin(cls) -> None:
        with cls.lock:
            cls.ended_at_start.append(cls.calls)

    @classmethod
    def clear(cls) -> None:
        cls.spent, cls.calls, cls.ended_at_start = 0.0, 0, []


class Metered(popbench.LLM):
    """Writes what it was asked, for 10 tokens in and 5 out."""

    class Options(popbench.Options):
        estimates: bool = popbench.runtime(False)

    version = "1"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            Account.pay(15 * TOKEN)
            draft = {"title": "A", "video_prompt": chat.prompt}
            yield popbench.Completion(chat.id, json.dumps(draft), usage={"input": 10, "output": 5})

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return TOKEN * (usage["input"] + usage["output"])

    def estimate(self, requests: int) -> float | None:
        return 15 * TOKEN * requests if self.options.estimates else None


class Studio(popbench.VideoGenerator):
    """Renders clips of one to four seconds, that is for 0.5 to 2 USD, many at once or in batches."""

    class Options(popbench.Options):
        told: bool = popbench.runtime(True)
        priced: bool = popbench.runtime(True)
        estimates: float | None = popbench.runtime(2.0)
        ends: Literal["clip", "refusal", "error", "black", "nonsense"] = "clip"
        batch: int = popbench.runtime(0)
        concurrency: int = popbench.runtime(1)
        pause: float = popbench.runtime(0.0)
        broken: Literal["", "cost", "estimate", "raises"] = popbench.runtime("")

    version = "1"

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        if self.options.batch:
            return self._in_batches(requests)
        return popbench.concurrently(requests, self._render, limit=self.options.concurrency)

    def _in_batches(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        batch: list[popbench.VideoRequest] = []
        for request in requests:
            batch.append(request)
            if len(batch) == self.options.batch:
                yield from map(self._render, batch)
                batch = []
        yield from map(self._render, batch)

    def _render(self, request: popbench.VideoRequest) -> Any:
        Account.begin()
        if self.options.pause:
            time.sleep(self.options.pause * (1 + request.seed % 3))
        seconds = 1 + request.seed % 4
        usage = {"video_seconds": seconds, "requests": 1} if self.options.told else None
        if self.options.ends == "nonsense":  # a wrong answer, which was paid for all the same
            return popbench.Clip(request.id, fps=8, usage=usage)
        Account.pay(seconds * SECOND)
        if self.options.ends in ("refusal", "error"):
            return popbench.Failure(request.id, "no", invalid=self.options.ends == "refusal", usage=usage)
        frames = np.random.default_rng(request.seed).integers(0, 255, (4, 32, 48, 3), np.uint8)
        clip = popbench.Clip(request.id, frames, 8.0, usage=usage)
        return replace(clip, frames=frames * 0) if self.options.ends == "black" else clip

    def cost(self, usage: Mapping[str, float]) -> float | None:
        if self.options.broken == "raises":
            raise KeyError("price")
        if self.options.broken == "cost":
            return -1.0
        return usage["video_seconds"] * SECOND if self.options.priced else None

    def estimate(self, requests: int) -> Any:
        if self.options.broken == "estimate":
            return "much"
        return None if self.options.estimates is None else self.options.estimates * requests


class Judge(popbench.Predictor):
    """Scores every clip for 100 tokens."""

    class Options(popbench.Options):
        priced: bool = popbench.runtime(True)

    version = "1"
    unit = "views"

    def needs(self) -> popbench.Needs:
        return popbench.Needs(remote=True)

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            Account.pay(100 * TOKEN)
            popularity = 1.0 + int(item.id[:4], 16)
            yield popbench.Score(item.id, popularity, usage={"input": 90, "output": 10})

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return TOKEN * (usage["input"] + usage["output"]) if self.options.priced else None


@popbench.hookimpl
def register_llms(register: Any) -> None:
    register("metered", Metered)


@popbench.hookimpl
def register_generators(register: Any) -> None:
    register("studio", Studio)


@popbench.hookimpl
def register_predictors(register: Any) -> None:
    register("grader", Judge)


def install() -> None:
    """Register them in this process, once, and clear the account."""
    from popbench.registry import Plugin, load_registry

    registry = load_registry()
    if ("llm", "metered") not in registry.registrations:
        registry.add(sys.modules[__name__], Plugin("priced", "popbench-priced", "1", "priced"))
    Account.clear()

"""An LLM, a generator and predictors with known laws, for tests of an audit's attributions."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import popbench
from popbench.hookspecs import Register
from popbench.records import Sample
from popbench.video import VideoError, read_frames

LEVELS = 8


class Writer(popbench.LLM):
    """Writes titles and video prompts that are independent of each other."""

    version = "1"

    class Options(popbench.Options):
        style: str = "plain"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            title = f"{self.options.style} {chat.seed % 7919}" + "!" * (chat.seed % 5)
            video = f"A scene of {self.options.style} {chat.seed}."
            yield popbench.Completion(chat.id, json.dumps({"title": title, "video_prompt": video}))


class Painter(popbench.VideoGenerator):
    """Paints a grey of one of eight random levels that gets randomly brighter or darker."""

    version = "1"

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            chance = zlib.crc32(f"{request.prompt} {request.seed}".encode())
            level, direction = chance % LEVELS, 1 if chance >> 16 & 1 else -1
            ramp = 60 + 20 * level + direction * np.array([-9, -6, -3, 3, 6, 9])
            frames = np.broadcast_to(ramp[:, None, None, None], (6, 32, 48, 3)).astype(np.uint8)
            yield popbench.Clip(request.id, frames, fps=8)


def of_title(title: str) -> float:
    """Return the value of a title, from 0 to 1; 0 for an empty one."""
    return zlib.crc32(title.encode()) % 1000 / 1000 if title else 0.0


def of_level(frames: Any) -> float:
    """Return the value of a video's brightness, from 0 to 1: unchanged by encoding, 0 for black."""
    return float(np.clip(np.rint((frames.mean() - 60) / 20), 0, LEVELS - 1)) / (LEVELS - 1)


def of_motion(frames: Any) -> float:
    """Return 1 if a video gets brighter, -1 if it gets darker, else 0."""
    change = float(frames[-1].mean()) - float(frames[0].mean())
    return float(np.sign(change)) if abs(change) > 6 else 0.0


class Law(popbench.Predictor):
    """log2 popularity = title * t + level * l + motion * m + both * t * l; `fault` is what goes wrong."""

    version = "1"
    unit = "views"

    class Options(popbench.Options):
        title: float = 0.0
        level: float = 0.0
        motion: float = 0.0
        both: float = 0.0
        novelty: bool = False
        fault: str = popbench.runtime("none")

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        of = self.options
        for number, item in enumerate(items):
            if of.fault == "dies" or (of.fault == "dies without title" and not item.title):
                raise RuntimeError("out of\nideas")
            try:
                frames = read_frames(item.path).astype(np.float64)
            except VideoError as error:
                yield popbench.Failure(item.id, str(error))
                continue
            if of.fault == "fails on black" and frames.max() < 16:
                yield popbench.Failure(item.id, "nothing to see")
                continue
            t, level, motion = of_title(item.title), of_level(frames), of_motion(frames)
            log2 = of.title * t + of.level * level + of.motion * motion + of.both * t * level
            if of.fault == "drifts" and not number % 2:
                log2 += 0.1
            extra = {"novelty": {"title": t, "video": 1.0 if level > 0.5 else 0.2}} if of.novelty else {}
            yield popbench.Score(item.id, 2.0**log2, extra=extra)


class Sum(popbench.Predictor):
    """log2 popularity is the sum of what is used, each with its weight; videos by their level."""

    version = "1"
    unit = "views"

    class Options(popbench.Options):
        weights: dict[str, float]

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.uses = frozenset(self.options.weights)

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            log2 = 0.0
            for name, weight in self.options.weights.items():
                if name == "video":
                    log2 += weight * of_level(read_frames(item.path).astype(np.float64))
                else:
                    log2 += weight * of_title(str(getattr(item, name)))
            yield popbench.Score(item.id, 2.0**log2)


class DemoLaw(Law):
    """A predictor that is marked as a demonstration."""

    demo = True


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("writer", Writer)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("painter", Painter)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("law", Law)
    register("sum", Sum)
    register("demo-law", DemoLaw)


def install() -> None:
    """Register these components in this process, once."""
    from popbench.registry import Plugin, load_registry

    registry = load_registry()
    if not any(plugin.name == "audit-laws" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("audit-laws", "popbench-audit-laws", "1", __name__))


def evaluate(out: Path, *predictors: str, **changes: Any) -> popbench.Run:
    """Make a run of two systems on 12 prompts, scored by these predictors."""
    install()
    given: dict[str, Any] = {
        "llm": ["writer,style=a,label=a", "writer,style=bb,label=b"],
        "gen": "painter",
        "predictor": list(predictors) or ["law,title=1,level=1,label=law"],
        "mode": "basic",
        "task": "popcorn_concrete",
        "limit": 12,
    }
    return popbench.evaluate(**{**given, **changes}, out=out)


def parts(samples: Sequence[Sample], folder: Path) -> tuple[Any, Any]:
    """Return the values of title and level of every sample."""
    titles = np.array([of_title(sample.title or "") for sample in samples])
    levels = np.array([of_level(read_frames(folder / str(sample.video))) for sample in samples])
    return titles, levels

"""An LLM and a generator that follow the law of `made_corpus`, for runs whose true shares are known."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator

import numpy as np

import made_corpus
import popbench
from popbench.hookspecs import Register


class Writer(popbench.LLM):
    """Draws a word for the title and, independently, a brightness for the video."""

    version = "1"

    class Options(popbench.Options):
        luck: int = 0

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            rng = np.random.default_rng([self.options.luck, chat.seed])
            made = made_corpus.Made(f"v{chat.seed % 7}", str(rng.choice(list(made_corpus.WORDS))), rng.uniform(-1, 1))
            answer = {"title": made.title, "video_prompt": f"A picture of brightness {made.light:.4f}."}
            yield popbench.Completion(chat.id, json.dumps(answer))


class Painter(popbench.VideoGenerator):
    """Paints a picture of the requested brightness."""

    version = "1"

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            yield popbench.Clip(
                request.id, made_corpus.paint(brightness(request.prompt), request.seed), made_corpus.FPS
            )


def brightness(prompt: str) -> float:
    """Return the brightness that a video prompt asks for."""
    found = re.search(r"brightness (-?\d\.\d+)", prompt)
    assert found is not None
    return float(found[1])


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("made-writer", Writer)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    register("made-painter", Painter)


def install() -> None:
    """Register these components in this process, once."""
    from popbench.registry import Plugin, load_registry

    registry = load_registry()
    if not any(plugin.name == "made-runs" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("made-runs", "popbench-made-runs", "1", __name__))

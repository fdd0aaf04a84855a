"""A predictor that uses what its options say, and an LLM whose titles change while its video prompts stay."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pydantic

import popbench
from popbench.hookspecs import Register
from popbench.registry import Plugin, load_registry

SEEN: list[dict[str, Any]] = []
"""What predictors were asked in this process."""


class Seer(popbench.Predictor):
    """Scores whatever it sees, each of it by its letters."""

    version = "1"
    unit = "views"

    class Options(popbench.Options):
        uses: list[str] = pydantic.Field(["title", "video"])

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.uses = frozenset(self.options.uses)

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            seen = {**asdict(item), "path": None if item.path == Path() else item.path.read_bytes()}
            SEEN.append(seen)
            text = repr({name: value for name, value in seen.items() if name != "id"})
            yield popbench.Score(item.id, 1.0 + zlib.crc32(text.encode()) % 1000)


class Titled(popbench.LLM):
    """Writes a title of its own for the prompt, which it leaves as it is."""

    version = "1"

    class Options(popbench.Options):
        title: str = "Rain over the harbour"

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            draft = {"title": f"{self.options.title} {chat.seed % 97}", "video_prompt": f"{chat.prompt}, in rain"}
            yield popbench.Completion(chat.id, json.dumps(draft))


class Tagged(popbench.LLM):
    """Adds hashtags to the title; at some prompts first without them, as `forgets` says, or always."""

    version = "1"

    class Options(popbench.Options):
        forgets: Literal["never", "once", "always"] = "never"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.asked: set[str] = set()

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            SEEN.append({"schema": chat.schema, "messages": chat.messages})
            draft: dict[str, Any] = {"title": f"Rain over {chat.seed % 97} roofs", "video_prompt": chat.prompt}
            if self.options.forgets == "never" or (self.options.forgets == "once" and chat.prompt in self.asked):
                draft |= {"hashtags": ["#rain", "雨 🐈"], "mood": 3}
            self.asked.add(chat.prompt)
            yield popbench.Completion(chat.id, json.dumps(draft))


@popbench.hookimpl
def register_llms(register: Register) -> None:
    register("titled", Titled)
    register("tagged", Tagged)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    register("seer", Seer)


def install() -> None:
    """Register these components in this process, once, and forget what predictors were asked."""
    SEEN.clear()
    registry = load_registry()
    if not any(plugin.name == "using" for plugin in registry.plugins):
        registry.add(sys.modules[__name__], Plugin("using", "popbench-using", "1", __name__))


def seer(*uses: str, label: str = "seer") -> str:
    """Return the spec of a predictor that uses these."""
    return f"seer,uses={json.dumps(list(uses))},label={label}"

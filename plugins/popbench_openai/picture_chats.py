"""Chats with pictures: what a vision-language model is asked about frames of a clip, or of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import popbench

FEWER = "the pictures are more than this model takes: show fewer (frames=) or smaller ones (size=)"


@dataclass(frozen=True, slots=True)
class PictureChat(popbench.Chat):
    """A chat of one message, with pictures as data URLs before its text or after it.

    `tokens` is what the pictures count as, about, before the server has said it.
    """

    pictures: tuple[str, ...] = ()
    pictures_first: bool = True
    tokens: int = 0

    def shown(self) -> list[dict[str, Any]]:
        """Return the message as the protocol has it."""
        text = [{"type": "text", "text": self.messages[0]["content"]}]
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in self.pictures]
        return [{"role": "user", "content": pictures + text if self.pictures_first else text + pictures}]


@dataclass(frozen=True, slots=True)
class PairChat(PictureChat):
    """A chat about two clips: `of_first` of the pictures are those of the first. Each clip is named before its own."""

    of_first: int = 0

    def shown(self) -> list[dict[str, Any]]:
        """Return the message as the protocol has it: the first clip, the second, and the question."""
        content: list[dict[str, Any]] = []
        for name, pictures in zip(
            ("first", "second"), (self.pictures[: self.of_first], self.pictures[self.of_first :]), strict=True
        ):
            content.append({"type": "text", "text": f"The {name} video:"})
            content += [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
        return [{"role": "user", "content": [*content, {"type": "text", "text": self.messages[0]["content"]}]}]

"""Chats with pictures: what a vision-language model is asked about frames of a clip, or of two."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from popbench.records import Chat

_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class PictureChat(Chat):
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


def picture_url(frame: Any, size: int, form: str) -> str:
    """Return a frame, uint8 (height, width, 3), as a data URL: no larger than `size`, as `jpeg` or `png`."""
    file = io.BytesIO()
    picture = Image.fromarray(frame)
    picture.thumbnail((size, size))
    picture.save(file, form, **({"quality": _JPEG_QUALITY} if form == "jpeg" else {}))
    return f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def picture_of(url: str) -> Image.Image:
    """Return the picture of a data URL of `PictureChat.pictures`."""
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    return picture.convert("RGB")

"""What judges of clips behind a chat API share: rubric, checks, fingerprint and costs. `judging` asks them."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench.video import map_frames
from popbench_openai.endpoint import Endpoint
from popbench_openai.judge_options import VisionOptions
from popbench_openai.options import ChatOptions
from popbench_openai.servers import refuse_options

_RESERVED = {"model", "messages", "stream", "n", "response_format", "seed"}
_UNLABELLED = ("model", "base_url", "provider")
_CHARS_PER_TOKEN, _CHARS_OF_VALUES, _OUTPUT_TOKENS = 3, 1500, 500
"""For estimates: characters of a token, of title and prompt together, and tokens of an answer without `max_tokens`."""
_JPEG_QUALITY = 85


class VisionJudge(Endpoint):
    """A judge that is shown frames of clips: of one, for marks, or of two, for a choice."""

    name: ClassVar[str]
    """What it is registered as."""
    clips: ClassVar[int] = 1
    """How many clips it is shown at once."""

    def __init__(self, options: VisionOptions | None, rubric: Path, names: Collection[str]) -> None:
        """Read the rubric, which may use `names`, and refuse options that would record a secret."""
        super().__init__(options)
        given: VisionOptions = self.options
        refuse_options("predictor", self.called, given, given.extra_body, _RESERVED)
        self._rubric = popbench.TextTemplate(given.rubric or rubric, names)
        self.repeatable = given.seed

    @property
    def called(self) -> str:
        """Return what messages call it."""
        return f"{self.name} with model={self.options.model}"

    @property
    def asked(self) -> ChatOptions:
        """Return the options that requests are made with."""
        options: VisionOptions = self.options
        return options.of_chat

    def retired(self) -> str:
        """Return that the provider has retired the model; empty if it has not."""
        known = self.known
        if known is None or not known.retired:
            return ""
        return f"{known.provider.name} retired {known.id} on {known.ends}: choose another model="

    def labelled(self) -> dict[str, JSON]:
        """Return the options that a label names: those that differ from the defaults."""
        defaults = type(self.options).model_fields
        return {
            name: value
            for name, value in self.options.determining().items()
            if name not in _UNLABELLED and value != defaults[name].default
        }

    def label(self) -> str | None:
        """Return its name with the model's id and the options that differ from the defaults."""
        return make_label(self.name, {"model": self.options.model, **self.labelled()})

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server and the rubric's text, whatever its file is called."""
        own = ("base_url", "provider", "rubric")
        options = {name: value for name, value in self.options.determining().items() if name not in own}
        base = super().fingerprint()
        return {**base, "options": options, "server": self.server, "rubric": self._rubric.fingerprint}

    def estimate(self, requests: int) -> float | None:
        """Return the cost of all draws by `tokens_per_frame`, without further tries; None without prices."""
        options: VisionOptions = self.options
        if options.price_in is None or options.price_out is None:
            return None
        text = (len(self._rubric.source) + self.chars + _CHARS_OF_VALUES) / _CHARS_PER_TOKEN
        tokens_in = text + self.clips * options.frames * options.tokens_per_frame
        tokens_out = options.max_tokens or _OUTPUT_TOKENS
        return requests * options.draws * (tokens_in * options.price_in + tokens_out * options.price_out) / 1e6

    @property
    def chars(self) -> int:
        """Return how many characters are asked besides the rubric."""
        return 0

    def pictures(self, clip: Path) -> tuple[str, ...]:
        """Return the frames of a clip as data URLs, no larger than `size`; raises VideoError."""
        return tuple(map_frames(clip, self.options.frames, self._picture))

    def _picture(self, frame: Any) -> str:
        options, file = self.options, io.BytesIO()
        picture = Image.fromarray(frame)
        picture.thumbnail((options.size, options.size))
        picture.save(file, options.picture, **({"quality": _JPEG_QUALITY} if options.picture == "jpeg" else {}))
        return f"data:image/{options.picture};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def answer_schema(properties: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the JSON schema of an answer with these fields."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def seed_of(text: str) -> int:
    """Return a seed made of a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])

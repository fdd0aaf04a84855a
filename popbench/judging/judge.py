"""What judges of one clip and of two share: rubric, frames, label and fingerprint. `draws` asks them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from popbench.interfaces import Component
from popbench.judging.options import PicturesOptions
from popbench.judging.pictures import PictureChat, picture_url
from popbench.options import Options
from popbench.prompting.texts import TextTemplate
from popbench.records import JSON, Failure, Score
from popbench.specs import make_label
from popbench.video import map_frames

FEWER = "the pictures are more than this model takes: show fewer (frames=) or smaller ones (size=)"
_CHARS_PER_TOKEN, _CHARS_OF_VALUES, _OUTPUT_TOKENS = 3, 1500, 500
"""For estimates: characters of a token, of title and prompt together, and tokens of an answer without a limit."""


class PicturesJudge(Component):
    """A judge that is shown frames of clips: of one, for marks, or of two, for a choice."""

    name: ClassVar[str]
    """What it is registered as."""
    clips: ClassVar[int] = 1
    """How many clips it is shown at once."""
    unlabelled: ClassVar[tuple[str, ...]] = ("model",)
    """Options that no label names, besides those with their defaults."""

    def __init__(self, options: Options | None, rubric: Path, names: Collection[str]) -> None:
        """Read the rubric, which may use `names`; raises UsageError."""
        super().__init__(options)
        self.refuse_options()
        given: PicturesOptions = self.options
        self._rubric = TextTemplate(given.rubric or rubric, names)

    @abstractmethod
    def chats(self, item: Any) -> Sequence[PictureChat]:
        """Return what is asked about an item, one chat for each draw; raises VideoError and UsageError."""

    @abstractmethod
    def read(self, text: str) -> Mapping[str, float]:
        """Return the numbers in an answer by name, of which `score` is the score; raises ValueError."""

    @abstractmethod
    def judge_all(self, items: Iterable[Any]) -> Iterator[Score | Failure]:
        """Judge items by `judged`, and yield answers as they come."""

    def refuse_options(self) -> None:
        """Raise UsageError for options that may not be recorded. No file is read before."""

    @property
    def model_name(self) -> str:
        """Return what labels and notes call the model."""
        model: str = self.options.model
        return model

    @property
    def frame_tokens(self) -> int:
        """Return what a frame counts as, for estimates of tokens."""
        return 0

    def labelled(self) -> dict[str, JSON]:
        """Return the options that a label names: those that differ from the defaults."""
        defaults = type(self.options).model_fields
        return {
            name: value
            for name, value in self.options.determining().items()
            if name not in self.unlabelled and value != defaults[name].default
        }

    def label(self) -> str | None:
        """Return its name with the model's and the options that differ from the defaults."""
        return make_label(self.name, {"model": self.model_name, **self.labelled()})

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the rubric's text, whatever its file is called."""
        options = {name: value for name, value in self.options.determining().items() if name != "rubric"}
        return {**super().fingerprint(), "options": options, "rubric": self._rubric.fingerprint}

    def expected_tokens(self, most: int | None) -> tuple[float, float]:
        """Estimate the input and output tokens of a request, all draws together; `most` is an answer's limit."""
        options: PicturesOptions = self.options
        text = (len(self._rubric.source) + self.chars + _CHARS_OF_VALUES) / _CHARS_PER_TOKEN
        tokens_in = text + self.clips * options.frames * self.frame_tokens
        return options.draws * tokens_in, options.draws * float(most or _OUTPUT_TOKENS)

    @property
    def chars(self) -> int:
        """Return how many characters are asked besides the rubric."""
        return 0

    def pictures(self, clip: Path) -> tuple[str, ...]:
        """Return the frames of a clip as data URLs, no larger than `size`; raises VideoError."""
        options: PicturesOptions = self.options
        return tuple(map_frames(clip, options.frames, partial(picture_url, size=options.size, form=options.picture)))


def seed_of(text: str) -> int:
    """Return a seed made of a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])

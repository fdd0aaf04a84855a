"""A judge of pairs of clips: which of the two would people rather watch?"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from popbench.interfaces import PairwisePredictor
from popbench.judging.choices import FORM, SCHEMA, read_choice
from popbench.judging.judge import PicturesJudge, seed_of
from popbench.judging.marks import SCORE
from popbench.judging.options import PicturesOptions
from popbench.judging.pictures import PairChat
from popbench.options import Options
from popbench.records import CompareRequest, Failure, Message, Score

_OF_BOTH = ("prompt", "category", "task")
_OF_EACH = ("title", "video_prompt", "extra")
_SIDES = ("first", "second")
_RUBRIC = Path(__file__).with_name("pair_rubric.jinja")


class PairsJudge(PicturesJudge, PairwisePredictor):
    """A judge that chooses between two clips. Its options are PicturesOptions with PairsOptions."""

    clips = 2
    version = "1"

    def __init__(self, options: Options | None = None) -> None:
        """Read the rubric; raises UsageError."""
        fields = {f"{side}_{name}": name for side in _SIDES for name in _OF_EACH}
        super().__init__(options, _RUBRIC, (*_OF_BOTH, *fields, "frames"))
        given: Any = self.options  # both kinds in one
        self.opponents = given.opponents
        self.uses = frozenset({"video", *(fields.get(name, name) for name in self._rubric.used)} - {"frames"})
        self.note = f"{self.model_name} is shown {given.frames} frames of each of two clips, without sound"

    def text(self, item: CompareRequest) -> str:
        """Return what the judge is told about two clips; raises UsageError."""
        seen = {name: getattr(item.first, name) for name in _OF_BOTH}
        for side, of in zip(_SIDES, (item.first, item.second), strict=True):
            seen |= {f"{side}_{name}": getattr(of, name) for name in _OF_EACH}
        return f"{self._rubric.render(**seen, frames=self.options.frames)}\n\n{FORM}"

    def chats(self, item: CompareRequest) -> list[PairChat]:
        """Return what is asked about two clips, one chat for each draw; raises VideoError and UsageError."""
        options: PicturesOptions = self.options
        sides = tuple(self.pictures(side.path) for side in (item.first, item.second))
        # The same for all pairs and both orders: what differs between answers is what is shown.
        drawn = random.Random(seed_of(item.first.prompt or "pair"))
        message = Message(role="user", content=self.text(item))
        pictures = tuple(picture for side in sides for picture in side)
        return [
            PairChat(
                f"{item.id}-{number}",
                (message,),
                drawn.randrange(2**31),
                SCHEMA,
                pictures=pictures,
                of_first=len(sides[0]),
                tokens=self.frame_tokens * len(pictures),
            )
            for number in range(options.draws)
        ]

    def read(self, text: str) -> Mapping[str, float]:
        """Return how far an answer prefers the first clip; raises ValueError."""
        return {SCORE: read_choice(text)}

    def compare(self, items: Iterable[CompareRequest]) -> Iterator[Score | Failure]:
        """Judge pairs, and yield answers as they come."""
        yield from self.judge_all(items)

"""A judge of pairs of clips behind a chat API: which of the two would people rather watch?"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import popbench
from popbench_openai.choices import FORM, SCHEMA, read_choice
from popbench_openai.judge_options import SCORE, PairwiseOptions
from popbench_openai.picture_chats import PairChat
from popbench_openai.servers import key_kept
from popbench_openai.vision import VisionJudge, seed_of

_OF_BOTH = ("prompt", "category", "task")
_OF_EACH = ("title", "video_prompt", "extra")
_SIDES = ("first", "second")
_RUBRIC = Path(__file__).with_name("pair_rubric.jinja")


class PairwiseJudge(VisionJudge, popbench.PairwisePredictor):
    """Any vision-language model, for the better of two: model=ID.

    It is asked about each pair of systems, both ways round. Other servers than OpenAI's are named by base_url=URL.
    """

    name = "judge-pairwise"
    clips = 2
    version = "1"

    Options = PairwiseOptions

    def __init__(self, options: PairwiseOptions | None = None) -> None:
        """Read the rubric, and refuse options that would record a secret. The messages do not repeat it."""
        fields = {f"{side}_{name}": name for side in _SIDES for name in _OF_EACH}
        super().__init__(options, _RUBRIC, (*_OF_BOTH, *fields, "frames"))
        given: PairwiseOptions = self.options
        self.opponents = given.opponents
        self.uses = frozenset({"video", *(fields.get(name, name) for name in self._rubric.used)} - {"frames"})
        self.note = f"{given.model} is shown {given.frames} frames of each of two clips, without sound"

    def text(self, item: popbench.CompareRequest) -> str:
        """Return what the judge is told about two clips; raises UsageError."""
        seen = {name: getattr(item.first, name) for name in _OF_BOTH}
        for side, of in zip(_SIDES, (item.first, item.second), strict=True):
            seen |= {f"{side}_{name}": getattr(of, name) for name in _OF_EACH}
        return f"{self._rubric.render(**seen, frames=self.options.frames)}\n\n{FORM}"

    def chats(self, item: popbench.CompareRequest) -> list[PairChat]:
        """Return what is asked about two clips, one chat for each draw; raises VideoError and UsageError."""
        options: PairwiseOptions = self.options
        sides = tuple(self.pictures(side.path) for side in (item.first, item.second))
        # The same for all pairs and both orders: what differs between answers is what is shown.
        drawn = random.Random(seed_of(item.first.prompt or "pair"))
        message = popbench.Message(role="user", content=self.text(item))
        pictures = tuple(picture for side in sides for picture in side)
        return [
            PairChat(
                f"{item.id}-{number}",
                (message,),
                drawn.randrange(2**31),
                SCHEMA,
                pictures=pictures,
                of_first=len(sides[0]),
                tokens=options.tokens_per_frame * len(pictures),
            )
            for number in range(options.draws)
        ]

    def read(self, text: str) -> Mapping[str, float]:
        """Return how far an answer prefers the first clip; raises ValueError."""
        return {SCORE: read_choice(text)}

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Judge up to `concurrency` pairs at once, and yield answers as they come."""
        from popbench_openai.judging import Judging

        with key_kept(self.key):
            judging = Judging(self, self.chats, self.read)
            yield from popbench.concurrently(items, judging, limit=self.options.concurrency)

"""A judge of clips, for marks: what it is shown and asked."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from popbench.errors import UsageError
from popbench.interfaces import Predictor
from popbench.judging.judge import PicturesJudge, seed_of
from popbench.judging.marks import SCORE, answer_form, answer_schema, read_marks
from popbench.judging.pictures import PictureChat
from popbench.options import Options
from popbench.records import JSON, Failure, Message, Score, ScoreRequest
from popbench.video import sha256, video_info

_SEEN = ("title", "prompt", "video_prompt", "category", "task", "extra")
"""What a rubric may show of a sample, besides its frames."""
_GIVEN = ("frames", "seconds", "criteria")
_RUBRIC = Path(__file__).with_name("rubric.jinja")


class MarksJudge(PicturesJudge, Predictor):
    """A judge that gives marks from 0 to 10. Its options are PicturesOptions with CriteriaOptions."""

    version = "1"
    unit = "points"
    scale = "real"
    mark_schema: ClassVar[JSON] = {"type": "number"}
    """The schema of a mark. Servers that take no bounds in it are many: marks are checked anyway."""

    def __init__(self, options: Options | None = None) -> None:
        """Read the rubric; raises UsageError."""
        super().__init__(options, _RUBRIC, (*_SEEN, *_GIVEN))
        given: Any = self.options  # both kinds in one
        if given.criteria and "criteria" not in self._rubric.used:
            raise UsageError(
                f"{self._rubric.path}: names no criteria, so that the judge would not know them: add a loop over "
                "criteria ({% for one in criteria %}{{ one.name }}: {{ one.question }}{% endfor %}), or set criteria={}"
            )
        self.uses = frozenset({"video", *self._rubric.used} - {*_GIVEN})
        self.note = f"{self.model_name} is shown {given.frames} frames of each clip, without sound"

    def labelled(self) -> dict[str, JSON]:
        """Return the options that a label names; criteria by their names, after what they are shown with."""
        told = super().labelled()
        if "criteria" not in told:
            return told
        del told["criteria"]
        before = [name for name in told if name in ("frames", "size", "picture", "draws", "rubric")]
        named = "+".join(sorted(self.options.criteria)) or "none"
        return {**{name: told[name] for name in before}, "criteria": named, **told}

    @property
    def chars(self) -> int:
        """Return how many characters the criteria have."""
        return sum(map(len, self.options.criteria.values()))

    def text(self, item: ScoreRequest, order: Sequence[str], seconds: float) -> str:
        """Return what the judge is told about a clip, with the criteria in an order; raises UsageError."""
        options: Any = self.options
        seen = {name: getattr(item, name) for name in _SEEN}
        criteria = [{"name": name, "question": options.criteria[name]} for name in order]
        told = self._rubric.render(**seen, frames=options.frames, seconds=seconds, criteria=criteria)
        return f"{told}\n\n{answer_form(order)}"

    def chats(self, item: ScoreRequest) -> list[PictureChat]:
        """Return what is asked about a clip, one chat for each draw; raises VideoError and UsageError."""
        options: Any = self.options
        pictures = self.pictures(item.path)
        seconds = video_info(item.path).seconds
        # The same for all systems: a preference for a place is then the same for the clips that are compared.
        drawn = random.Random(seed_of(item.prompt or item.title or sha256(item.path)))
        names = sorted(options.criteria)
        drawn.shuffle(names)
        starts = drawn.randrange(2)
        chats = []
        for number in range(options.draws):
            turn = number % max(len(names), 1)
            order = [*names[turn:], *names[:turn]]  # each criterion comes to each place
            text = self.text(item, order, seconds)
            message = Message(role="user", content=text)
            chats.append(
                PictureChat(
                    f"{item.id}-{number}",
                    (message,),
                    drawn.randrange(2**31),
                    answer_schema(dict.fromkeys((*order, SCORE), self.mark_schema)),
                    pictures=pictures,
                    pictures_first=(number + starts) % 2 == 0,
                    tokens=self.frame_tokens * len(pictures),
                )
            )
        return chats

    def read(self, text: str) -> Mapping[str, float]:
        """Return the marks of an answer, the score among them; raises ValueError."""
        return read_marks(text, sorted(self.options.criteria))

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[Score | Failure]:
        """Judge clips, and yield scores as they come."""
        yield from self.judge_all(items)

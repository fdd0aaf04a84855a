"""Asks a vision-language model about clips: shows frames, and averages several draws."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from PIL import Image

import popbench
from popbench import JSON
from popbench.video import VideoError, map_frames, sha256, video_info
from popbench_openai.calls import LOST_IN_A_ROW, Calls
from popbench_openai.endpoint import Endpoint
from popbench_openai.judge_options import SCORE, JudgeOptions
from popbench_openai.marks import read_marks
from popbench_openai.picture_chats import PictureChat

TRIES = 3
"""How often a draw is asked for before answers without marks count as the judge's error."""
_JPEG_QUALITY = 85
_QUOTED = 160


class _UnreadError(Exception):
    """A draw whose answers have no marks."""


class Judging:
    """All calls of one `score`. `popbench.concurrently` calls it for each clip; a clip's draws follow each other.

    `text` makes what the judge is told about a clip, of the criteria in an order and the clip's seconds; it raises
    UsageError.
    """

    def __init__(self, judge: Endpoint, text: Callable[[popbench.ScoreRequest, Sequence[str], float], str]) -> None:
        self._judge, self._text = judge, text
        self._options: JudgeOptions = judge.options
        self._calls = Calls(judge)
        self._has_read = False
        self._unread = 0

    async def __aenter__(self) -> Judging:
        """Make the client."""
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close all connections."""
        await self._calls.__aexit__(*details)

    async def __call__(self, item: popbench.ScoreRequest) -> popbench.Score | popbench.Failure:
        """Judge one clip; raises ComponentError if no judgement can succeed."""
        try:
            chats = await asyncio.to_thread(self._chats, item)
        except (VideoError, popbench.UsageError) as error:
            return popbench.Failure(item.id, str(error))
        usage: Counter[str] = Counter()
        draws: list[dict[str, float]] = []
        refused: list[popbench.Failure] = []
        notes: dict[str, None] = {}
        for chat in chats:
            try:
                marks = await self._draw(chat, usage, notes)
            except _UnreadError as error:
                return self._fail_unread(item, str(error), usage)
            if not isinstance(marks, popbench.Failure):
                draws.append(marks)
            elif marks.invalid:
                refused.append(marks)
            else:
                return popbench.Failure(item.id, marks.error, usage=dict(usage) or None)
        spent = dict(usage) or None
        if not draws:
            return popbench.Failure(item.id, refused[0].error, invalid=True, reason=refused[0].reason, usage=spent)
        if refused:
            notes[f"{len(refused)} of {len(chats)} draws refused: {refused[0].error}"] = None
        means = {name: fmean(marks[name] for marks in draws) for name in draws[0]}
        value, kept = means.pop(SCORE), [dict(marks) for marks in draws]
        extra: dict[str, JSON] = {"draws": kept}
        return popbench.Score(item.id, value, extra, notes=tuple(notes), usage=spent, parts=means)

    async def _draw(
        self, chat: PictureChat, usage: Counter[str], notes: dict[str, None]
    ) -> dict[str, float] | popbench.Failure:
        """Return the marks of one draw, or why there is none; raises _UnreadError. Adds to usage and notes."""
        criteria = sorted(self._options.criteria)
        last = ""
        for attempt in range(TRIES):
            answer = await self._calls(_again(chat, attempt))
            if isinstance(answer, popbench.Failure):
                return answer
            usage.update(answer.usage or {})
            try:
                marks = read_marks(answer.text, criteria)
            except ValueError as error:
                last = "cut at the limit of tokens: allow more with max_tokens=" if answer.cut else str(error)
                last += f": {' '.join(answer.text.split())[:_QUOTED]!r}"
                continue
            self._has_read = True
            notes.update(dict.fromkeys(() if answer.cut else answer.remarks))
            return marks
        raise _UnreadError(f"no judgement in {TRIES} answers (last: {last})")

    def _fail_unread(self, item: popbench.ScoreRequest, why: str, usage: Mapping[str, float]) -> popbench.Failure:
        """Return the failure of a clip; raises ComponentError if the model has never answered with marks."""
        message = f"{self._options.model} at {self._judge.shown_url}: {why}"
        self._unread += 1
        if not self._has_read and self._unread >= LOST_IN_A_ROW:
            raise popbench.ComponentError(f"{message}, nor for any clip before: check model= and structured=") from None
        return popbench.Failure(item.id, message, usage=dict(usage) or None)

    def _chats(self, item: popbench.ScoreRequest) -> list[PictureChat]:
        """Return what is asked about a clip, one chat for each draw; raises VideoError and UsageError."""
        options = self._options
        pictures = tuple(map_frames(item.path, options.frames, self._picture))
        seconds = video_info(item.path).seconds
        # The same for all systems: a preference for a place is then the same for the clips that are compared.
        drawn = random.Random(_seed(item.prompt or item.title or sha256(item.path)))
        names = sorted(options.criteria)
        drawn.shuffle(names)
        starts = drawn.randrange(2)
        chats = []
        for number in range(options.draws):
            turn = number % max(len(names), 1)
            order = [*names[turn:], *names[:turn]]  # each criterion comes to each place
            text = self._text(item, order, seconds)
            message = popbench.Message(role="user", content=text)
            chats.append(
                PictureChat(
                    f"{item.id}-{number}",
                    (message,),
                    drawn.randrange(2**31),
                    _schema(order),
                    pictures=pictures,
                    pictures_first=(number + starts) % 2 == 0,
                    tokens=options.tokens_per_frame * len(pictures),
                )
            )
        return chats

    def _picture(self, frame: Any) -> str:
        """Return a frame as a data URL, no larger than `size`."""
        options, file = self._options, io.BytesIO()
        picture = Image.fromarray(frame)
        picture.thumbnail((options.size, options.size))
        picture.save(file, options.picture, **({"quality": _JPEG_QUALITY} if options.picture == "jpeg" else {}))
        return f"data:image/{options.picture};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _schema(order: Sequence[str]) -> Mapping[str, JSON]:
    """Return the JSON schema of an answer. Servers that take no bounds in it are many: marks are checked anyway."""
    names = [*order, SCORE]
    return {
        "type": "object",
        "properties": {name: {"type": "number"} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def _again(chat: PictureChat, attempt: int) -> PictureChat:
    """Return a chat with the seed of an attempt: the same seed would give the same answer."""
    return replace(chat, seed=(chat.seed + attempt) % 2**31) if attempt else chat

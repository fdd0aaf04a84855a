"""Asks a vision-language model about clips, and averages several draws."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Generic, TypeVar

import popbench
from popbench import JSON
from popbench.video import VideoError
from popbench_openai.calls import LOST_IN_A_ROW, Calls
from popbench_openai.endpoint import Endpoint
from popbench_openai.judge_options import SCORE, VisionOptions
from popbench_openai.picture_chats import PictureChat

TRIES = 3
"""How often a draw is asked for before answers without marks count as the judge's error."""
_QUOTED = 160


class _UnreadError(Exception):
    """A draw whose answers have no marks."""


R = TypeVar("R", popbench.ScoreRequest, popbench.CompareRequest)


class Judging(Generic[R]):
    """All calls of one `score` or `compare`. `popbench.concurrently` calls it for each item, one draw after another.

    `chats` makes what the judge is asked about an item, one chat for each draw; it raises VideoError and UsageError.
    `read` returns the numbers in an answer by name, of which `score` is the score; it raises ValueError.
    """

    def __init__(
        self,
        judge: Endpoint,
        chats: Callable[[R], Sequence[PictureChat]],
        read: Callable[[str], Mapping[str, float]],
    ) -> None:
        self._judge, self._read = judge, read
        self._chats: Callable[[R], Sequence[PictureChat]] = chats
        self._options: VisionOptions = judge.options
        self._calls = Calls(judge)
        self._has_read = False
        self._unread = 0

    async def __aenter__(self) -> Judging[R]:
        """Make the client."""
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close all connections."""
        await self._calls.__aexit__(*details)

    async def __call__(self, item: R) -> popbench.Score | popbench.Failure:
        """Judge one clip or pair; raises ComponentError if no judgement can succeed."""
        try:
            chats = await asyncio.to_thread(self._chats, item)
        except (VideoError, popbench.UsageError) as error:
            return popbench.Failure(item.id, str(error))
        usage: Counter[str] = Counter()
        draws: list[Mapping[str, float]] = []
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
    ) -> Mapping[str, float] | popbench.Failure:
        """Return the marks of one draw, or why there is none; raises _UnreadError. Adds to usage and notes."""
        last = ""
        for attempt in range(TRIES):
            answer = await self._calls(_again(chat, attempt))
            if isinstance(answer, popbench.Failure):
                return answer
            usage.update(answer.usage or {})
            try:
                marks = self._read(answer.text)
            except ValueError as error:
                last = "cut at the limit of tokens: allow more with max_tokens=" if answer.cut else str(error)
                last += f": {' '.join(answer.text.split())[:_QUOTED]!r}"
                continue
            self._has_read = True
            notes.update(dict.fromkeys(() if answer.cut else answer.remarks))
            return marks
        raise _UnreadError(f"no judgement in {TRIES} answers (last: {last})")

    def _fail_unread(self, item: R, why: str, usage: Mapping[str, float]) -> popbench.Failure:
        """Return the failure of an item; raises ComponentError if the model has never answered with marks."""
        message = f"{self._options.model} at {self._judge.shown_url}: {why}"
        self._unread += 1
        if not self._has_read and self._unread >= LOST_IN_A_ROW:
            raise popbench.ComponentError(f"{message}, nor for any clip before: check model= and structured=") from None
        return popbench.Failure(item.id, message, usage=dict(usage) or None)


def _again(chat: PictureChat, attempt: int) -> PictureChat:
    """Return a chat with the seed of an attempt: the same seed would give the same answer."""
    return replace(chat, seed=(chat.seed + attempt) % 2**31) if attempt else chat

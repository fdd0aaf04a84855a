"""Asks a vision-language model about clips, and averages several draws."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from statistics import fmean
from typing import Any, Protocol

from popbench.engines import concurrently
from popbench.errors import ComponentError, UsageError
from popbench.judging.judge import PicturesJudge
from popbench.judging.marks import SCORE
from popbench.judging.pictures import PictureChat
from popbench.records import JSON, Completion, Failure, Score
from popbench.video import VideoError

TRIES = 3
"""How often a draw is asked for before answers without marks count as the judge's error."""
UNREAD_IN_A_ROW = 3
"""After this many items without a judgement before the first one, the model counts as unable to judge."""
_QUOTED = 160


class _UnreadError(Exception):
    """A draw whose answers have no marks."""


class Calls(AbstractAsyncContextManager[Any], Protocol):
    """What answers chats, once it is entered. It makes further attempts itself, where they are of use."""

    async def __call__(self, chat: PictureChat, /) -> Completion | Failure:
        """Answer one chat; raises ComponentError if no call can succeed."""


def judged(
    judge: PicturesJudge,
    items: Iterable[Any],
    calls: Calls,
    *,
    named: str,
    limit: int,
    remedy: str,
    more: str = "max_tokens=",
) -> Iterator[Score | Failure]:
    """Judge up to `limit` items at once, each by one draw after another, and yield answers as they come.

    `named` is what messages call the model. `remedy` is what to do about one that never answers with marks, `more` the
    option that allows more tokens. Raises ComponentError if no judgement can succeed.
    """
    return concurrently(items, _Open(_Judging(judge, calls, named, remedy, more), calls), limit=limit)


def judged_in_turn(
    judge: PicturesJudge,
    items: Iterable[Any],
    call: Callable[[PictureChat], Completion | Failure],
    *,
    named: str,
    remedy: str,
    more: str,
) -> Iterator[Score | Failure]:
    """Judge one item after another in this thread, by a model that runs in this process; the rest as in `judged`."""

    async def answer(chat: PictureChat) -> Completion | Failure:
        return call(chat)

    judging = _Judging(judge, answer, named, remedy, more)
    for item in items:
        chats = judging.chats(item)
        yield chats if isinstance(chats, Failure) else _result(judging.decide(item, chats))


def _result(judgement: Coroutine[Any, Any, Score | Failure]) -> Score | Failure:
    """Return what a coroutine comes to that never waits."""
    try:
        judgement.send(None)
    except StopIteration as ended:
        result: Score | Failure = ended.value
        return result
    raise AssertionError("it waits")


class _Judging:
    """All calls of one `judged`."""

    def __init__(
        self,
        judge: PicturesJudge,
        call: Callable[[PictureChat], Awaitable[Completion | Failure]],
        named: str,
        remedy: str,
        more: str,
    ) -> None:
        self._judge, self._call = judge, call
        self._named, self._remedy, self._more = named, remedy, more
        self._has_read = False
        self._unread = 0

    def chats(self, item: Any) -> Sequence[PictureChat] | Failure:
        """Return what is asked about an item, or why nothing can be."""
        try:
            return self._judge.chats(item)
        except (VideoError, UsageError) as error:
            return Failure(item.id, str(error))

    async def decide(self, item: Any, chats: Sequence[PictureChat]) -> Score | Failure:
        """Judge one clip or pair; raises ComponentError if no judgement can succeed."""
        usage: Counter[str] = Counter()
        draws: list[Mapping[str, float]] = []
        refused: list[Failure] = []
        notes: dict[str, None] = {}
        for chat in chats:
            try:
                marks = await self._draw(chat, usage, notes)
            except _UnreadError as error:
                return self._fail_unread(item, str(error), usage)
            if not isinstance(marks, Failure):
                draws.append(marks)
            elif marks.invalid:
                refused.append(marks)
            else:
                return Failure(item.id, marks.error, usage=dict(usage) or None)
        spent = dict(usage) or None
        if not draws:
            return Failure(item.id, refused[0].error, invalid=True, reason=refused[0].reason, usage=spent)
        if refused:
            notes[f"{len(refused)} of {len(chats)} draws refused: {refused[0].error}"] = None
        means = {name: fmean(marks[name] for marks in draws) for name in draws[0]}
        value, kept = means.pop(SCORE), [dict(marks) for marks in draws]
        extra: dict[str, JSON] = {"draws": kept}
        return Score(item.id, value, extra, notes=tuple(notes), usage=spent, parts=means)

    async def _draw(
        self, chat: PictureChat, usage: Counter[str], notes: dict[str, None]
    ) -> Mapping[str, float] | Failure:
        """Return the marks of one draw, or why there is none; raises _UnreadError. Adds to usage and notes."""
        last = ""
        for attempt in range(TRIES):
            answer = await self._call(_again(chat, attempt))
            usage.update(answer.usage or {})
            if isinstance(answer, Failure):
                return answer
            try:
                marks = self._judge.read(answer.text)
            except ValueError as error:
                last = f"cut at the limit of tokens: allow more with {self._more}" if answer.cut else str(error)
                last += f": {' '.join(answer.text.split())[:_QUOTED]!r}"
                continue
            self._has_read = True
            notes.update(dict.fromkeys(() if answer.cut else answer.remarks))
            return marks
        raise _UnreadError(f"no judgement in {TRIES} answers (last: {last})")

    def _fail_unread(self, item: Any, why: str, usage: Mapping[str, float]) -> Failure:
        """Return the failure of an item; raises ComponentError if the model has never answered with marks."""
        message = f"{self._named}: {why}"
        self._unread += 1
        if not self._has_read and self._unread >= UNREAD_IN_A_ROW:
            raise ComponentError(f"{message}, nor for any clip before: {self._remedy}") from None
        return Failure(item.id, message, usage=dict(usage) or None)


class _Open:
    """The work of `concurrently`: what answers chats is open from the first item to the last."""

    def __init__(self, judging: _Judging, calls: Calls) -> None:
        self._judging, self._calls = judging, calls

    async def __aenter__(self) -> _Open:
        """Open what answers chats."""
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        """Close it."""
        await self._calls.__aexit__(*details)

    async def __call__(self, item: Any) -> Score | Failure:
        """Judge one item; frames are read in a thread of their own."""
        chats = await asyncio.to_thread(self._judging.chats, item)
        return chats if isinstance(chats, Failure) else await self._judging.decide(item, chats)


def _again(chat: PictureChat, attempt: int) -> PictureChat:
    """Return a chat with the seed of an attempt: the same seed would give the same answer."""
    return replace(chat, seed=(chat.seed + attempt) % 2**31) if attempt else chat

"""LLMs, each of which breaks one rule of the conformance kit, also for the rules that all kinds share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pydantic

import popbench
from conforming_components import Plain


class NoDocstring(Plain):
    __doc__ = None


class LooseOptions(Plain):
    """Takes any option."""

    class Options(popbench.Options):
        model_config = pydantic.ConfigDict(extra="ignore")
        style: str = "dry"


class Unmade(Plain):
    """Can be made once."""

    made = 0

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        type(self).made += 1
        if self.made > 1:
            raise RuntimeError("only once")


class BarLabel(Plain):
    """Has a label that breaks a system's id."""

    def label(self) -> str | None:
        return "a|b"


class CheckText(Plain):
    """Lists what is missing as one text."""

    def check(self) -> Any:
        return "a key"


class CheckRaises(Plain):
    """Raises what it should list."""

    def check(self) -> list[str]:
        raise OSError("no key")


class NoNeeds(Plain):
    """Does not say what it needs."""

    def needs(self) -> Any:
        return None


class NegativeNeeds(Plain):
    """Needs less than nothing."""

    def needs(self) -> popbench.Needs:
        return popbench.Needs(gpus=-1)


class ClosesOnce(Plain):
    """Cannot be closed twice."""

    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class FingerprintSet(Plain):
    """Has a fingerprint that is no JSON."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "parts": {1, 2}}


class FingerprintOfInstance(Plain):
    """Has another fingerprint each time it is made."""

    numbers = itertools.count()

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.number = next(self.numbers)

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "number": self.number}


class FingerprintOfUse(Plain):
    """Knows its revision only after use."""

    revision = ""

    def reply(self, chat: popbench.Chat) -> Any:
        self.revision = "abc"
        return super().reply(chat)

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "revision": self.revision}


class ForgetsOptions(Plain):
    """Leaves its options out of the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "x", "version": "1"}


class KeepsRuntime(Plain):
    """Has all its options in the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "options": self.options.model_dump()}


class Raises(Plain):
    """Raises for one item."""

    def reply(self, chat: popbench.Chat) -> Any:
        if "猫" in chat.prompt:
            raise KeyError("猫")
        return super().reply(chat)


class Twice(Plain):
    """Answers everything twice."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for answer in super().generate(chats):
            yield answer
            yield answer


class Forever(Plain):
    """Never stops answering."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        answers = list(super().generate(chats))
        return itertools.cycle(answers) if answers else iter(())


class Skips(Plain):
    """Leaves out what it does not like."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        return super().generate(chat for chat in chats if "猫" not in chat.prompt)


class Uninvited(Plain):
    """Answers something nobody asked, as well."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for answer in super().generate(chats):
            yield popbench.Failure("bonus", "not asked")
            yield answer


class Bare(Plain):
    """Yields text instead of completions."""

    def reply(self, chat: popbench.Chat) -> Any:
        return chat.prompt


class WrongRecord(Plain):
    """Yields scores."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Score(chat.id, 1.0)


class Speechless(Plain):
    """Fails on one item and does not say why."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Failure(chat.id, "") if "猫" in chat.prompt else super().reply(chat)


class Refuses(Plain):
    """Fails on everything."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Failure(chat.id, "no", invalid=True)


class NegativeSeconds(Plain):
    """Was done before it began."""

    def reply(self, chat: popbench.Chat) -> Any:
        return replace(super().reply(chat), seconds=-1.0)


class NotesText(Plain):
    """Has one note instead of a tuple of them."""

    def reply(self, chat: popbench.Chat) -> Any:
        return replace(super().reply(chat), notes="slow")


class AnswersNothing(Plain):
    """Answers when nobody asks."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        answers = list(super().generate(chats))
        yield from answers or [popbench.Failure("none", "nothing to do")]


class Unstoppable(Plain):
    """Cannot be stopped."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        try:
            yield from super().generate(chats)
        except GeneratorExit:
            raise RuntimeError("no") from None


class Counts(Plain):
    """Numbers its answers."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.numbers = itertools.count()

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, f"answer {next(self.numbers)}")


class Position(Plain):
    """Seeds by the position in the call."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for position, chat in enumerate(chats):
            yield popbench.Completion(chat.id, f"answer {position}")


class Crowd(Plain):
    """Writes otherwise where there is more to write, as batches of another size may."""

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        batch = list(chats)
        for chat in batch:
            yield popbench.Completion(chat.id, "in company" if len(batch) > 1 else "alone")


class Salted(Plain):
    """Draws from a seed of its own, one for each instance."""

    salts = itertools.count()

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.salt = next(self.salts)

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, f"salt {self.salt}")


class CloseBreaks(Plain):
    """Does not recover from a close."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "closed") if self.closed else super().reply(chat)


class ReadsId(Plain):
    """Seeds by the id."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, f"for {chat.id}")


class NumberText(Plain):
    """Answers with a number."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, 42)  # type: ignore[arg-type]


class NumberReasoning(Plain):
    """Reasons with a number."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "text", reasoning=42)  # type: ignore[arg-type]


class TextRemarks(Plain):
    """Remarks in one text, and says in words that it was cut."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "text", remarks="cut", cut="yes")  # type: ignore[arg-type]


class TextUsage(Plain):
    """Counts tokens in words."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "text", usage={"input": "many"})  # type: ignore[dict-item]


class CostBelowZero(Plain):
    """Pays its users."""

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return -1.0


class EstimateText(Plain):
    """Estimates in words."""

    def estimate(self, requests: int) -> Any:
        return "much"


def length(messages: Sequence[popbench.Message]) -> int:
    return sum(len(message["content"]) for message in messages)


class FitsNumber(Plain):
    """Says how many messages fit."""

    def fits(self, messages: Sequence[popbench.Message]) -> Any:
        return len(messages)


class FitsRaises(Plain):
    """Raises what it should refuse."""

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        if length(messages) > 5000:
            raise ValueError("too long")
        return True


class FitsNothing(Plain):
    """Has no room for anything."""

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        return False


class FitsAgain(Plain):
    """Has room for what is far too long."""

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        return not 5000 < length(messages) < 50_000


class FitsWithSystem(Plain):
    """Has room for long prompts only after a system message."""

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        return len(messages) > 1 or length(messages) < 5000


class FingerprintOfFits(Plain):
    """Knows its context only after it was asked what fits, and takes it into the fingerprint."""

    context = 0

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        self.context = 8192
        return True

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "context": self.context}

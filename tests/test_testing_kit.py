"""The conformance kit: what keeps the rules passes, and every rule has a component that is caught breaking it."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
import pytest

import popbench
from popbench import testing
from popbench.testing import (
    RULES,
    ConformanceError,
    check_corpus,
    check_embedder,
    check_generator,
    check_llm,
    check_predictor,
)
from popbench.video import VideoError, read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

# -- components that keep every rule, in a few lines each


class Plain(popbench.LLM):
    """Answers with a hash."""

    version = "1"

    class Options(popbench.Options):
        style: str = "dry"
        threads: int = popbench.runtime(1)

    def reply(self, chat: popbench.Chat) -> Any:
        text = f"{self.options.style} {chat.prompt} {chat.seed}"
        return popbench.Completion(chat.id, hashlib.sha256(text.encode()).hexdigest())

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        for chat in chats:
            yield self.reply(chat)


class Noise(popbench.VideoGenerator):
    """Renders noise."""

    version = "1"

    def paint(self, request: popbench.VideoRequest) -> Any:
        seed = zlib.crc32(f"{request.prompt}{request.seed}".encode())
        frames = np.random.default_rng(seed).integers(0, 256, (3, 16, 18, 3), np.uint8)
        return popbench.Clip(request.id, frames, fps=8)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        for request in requests:
            yield self.paint(request)


class Brightness(popbench.Predictor):
    """Takes bright videos with long titles for popular."""

    version = "1"
    unit = "views"

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return 1.0 + float(read_frames(item.path, 4).mean()) + len(item.title)

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            try:
                yield popbench.Score(item.id, self.popularity(item))
            except VideoError as error:
                yield popbench.Failure(item.id, str(error))


class Letters(popbench.Embedder):
    """Counts letters."""

    version = "1"

    def row(self, text: str) -> NDArray[np.float32]:
        counts = np.zeros(16, np.float32)
        for letter in text.split():
            counts[zlib.crc32(letter.encode()) % 16] += 1
        length = np.linalg.norm(counts)
        return (counts / length if length else counts).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([*(self.row(text) for text in texts), np.zeros(16, np.float32)])[:-1]


class Shelf(popbench.Corpus):
    """Holds three videos."""

    version = "1"

    def books(self) -> list[tuple[str, Any]]:
        return [
            (part, popbench.Reference(part[:2], f"A {part} title", "", "", "tag", popularity))
            for part, popularity in (("train", 3.0), ("valid", 0.0), ("test", 7.0))
        ]

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        if part not in ("train", "valid", "test", "all"):
            raise ValueError(f"no part {part!r}")
        return (row for of, row in self.books() if part in (of, "all"))


# -- the same, each with one thing wrong


class NoDocstring(Plain):
    __doc__ = None


class LooseOptions(Plain):
    """Takes any option."""

    class Options(popbench.Options):
        model_config = pydantic.ConfigDict(extra="ignore")
        style: str = "dry"


class SecretOption(Plain):
    """Loses its key on the way to a worker."""

    class Options(popbench.Options):
        key: pydantic.SecretStr = popbench.runtime(pydantic.SecretStr("open sesame"))

    def __init__(self, options: Any = None) -> None:
        super().__init__(options if options is not None else self.Options(key=pydantic.SecretStr("open sesame")))

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "text")


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


class TextUsage(Plain):
    """Counts tokens in words."""

    def reply(self, chat: popbench.Chat) -> Any:
        return popbench.Completion(chat.id, "text", usage={"input": "many"})  # type: ignore[dict-item]


class FloatFrames(Noise):
    """Renders floats."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        clip = super().paint(request)
        return replace(clip, frames=clip.frames / 255)


class NoFrames(Noise):
    """Renders nothing."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id)


class NoFile(Noise):
    """Points at a file that is not there."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, path="nowhere.mp4")


class NotAVideo(Noise):
    """Points at a file that is no video."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, path=__file__)


class NoFps(Noise):
    """Does not say how fast its frames are."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return replace(super().paint(request), fps=None)


class Black(Noise):
    """Renders black frames."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.zeros((3, 16, 18, 3), np.uint8), fps=8)


class Unseeded(Noise):
    """Renders other noise each time."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.random.default_rng().integers(0, 256, (3, 16, 18, 3), np.uint8), fps=8)


class Logarithm(Brightness):
    """Yields a logarithm, which may be below 0."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return -super().popularity(item)


class NotANumber(Brightness):
    """Yields NaN."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        super().popularity(item)
        return float("nan")


class NoUnit(Brightness):
    """Does not say what it counts."""

    unit = ""


class TrainedOnText(Brightness):
    """Names one part, without a list."""

    def trained_on(self) -> Any:
        return "demo/train"


class TrainedOnRaises(Brightness):
    """Does not know what it has seen."""

    def trained_on(self) -> list[str]:
        raise OSError("no card")


class ReadsFileName(Brightness):
    """Scores the name of the file."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return super().popularity(item) + len(item.path.name)


class Drifts(Brightness):
    """Is off by a hundred-thousandth more with every call."""

    calls = 0

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        self.calls += 1
        return super().popularity(item) * (1 + self.calls * 1e-5)


class TrustsVideos(Brightness):
    """Raises for a broken video."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for item in items:
            yield popbench.Score(item.id, self.popularity(item))


class SkipsBrokenVideos(Brightness):
    """Says nothing of a broken video."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        return (answer for answer in super().score(items) if isinstance(answer, popbench.Score))


class TrustsTitles(Brightness):
    """Raises for an empty title."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return super().popularity(item) + ord(item.title[0])


class Wide(Letters):
    """Embeds in float64."""

    def encode(self, texts: Sequence[str]) -> Any:
        return super().encode(texts).astype(np.float64)


class Flat(Letters):
    """Forgets the width where there are no texts."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().encode(texts) if texts else np.zeros((0,), np.float32)


class ListRows(Letters):
    """Returns lists."""

    def encode(self, texts: Sequence[str]) -> Any:
        return super().encode(texts).tolist()


class EmptyRaises(Letters):
    """Cannot embed no texts."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.row(text) for text in texts])


class LongRows(Letters):
    """Does not normalise."""

    def row(self, text: str) -> NDArray[np.float32]:
        return (2 * super().row(text)).astype(np.float32)


class Centred(Letters):
    """Takes the mean of the batch away."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = super().encode(texts)
        if len(texts) < 2:
            return rows
        rows = rows - rows.mean(axis=0)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class Shaky(Letters):
    """Rolls every call's rows by one more place."""

    calls = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        return np.roll(super().encode(texts), self.calls, axis=1)


class TupleRows(Shelf):
    """Yields tuples."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, (row.id, row.title)) for part, row in super().books()]


class NegativeRows(Shelf):
    """Counts below 0."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, replace(row, popularity=-1.0)) for part, row in super().books()]


class JudgedRows(Shelf):
    """Says what is popular, which is for retrieval to say."""

    def books(self) -> list[tuple[str, Any]]:
        return [(part, replace(row, popular=True)) for part, row in super().books()]


class SameIds(Shelf):
    """Has each row twice."""

    def books(self) -> list[tuple[str, Any]]:
        return super().books() * 2


class AllIsTrain(Shelf):
    """Takes 'all' for 'train'."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        return super().rows("train" if part == "all" else part)


class Bottomless(Shelf):
    """Has no rows."""

    def books(self) -> list[tuple[str, Any]]:
        return []


class AnyPart(Shelf):
    """Takes any part for an empty one."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        return super().rows(part) if part in ("train", "valid", "test", "all") else iter(())


class KeyedParts(Shelf):
    """Raises KeyError for an unknown part."""

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        if part == "no-such-part":
            raise KeyError(part)
        return super().rows(part)


class Reordered(Shelf):
    """Reads in another order each time."""

    reads = 0

    def books(self) -> list[tuple[str, Any]]:
        type(self).reads += 1
        books, first = super().books(), self.reads % 3
        return books[first:] + books[:first]


@dataclass(frozen=True)
class Case:
    """A broken component: the rule it breaks, and what its message must hold."""

    rule: str
    check: Callable[..., testing.Report]
    component: type[popbench.Component]
    says: str


CASES = [
    Case("docstring", check_llm, NoDocstring, "NoDocstring has none"),
    Case("options", check_llm, LooseOptions, "no_such_option"),
    Case("spec", check_llm, SecretOption, "key: is SecretStr"),
    Case("spec", check_llm, Unmade, "only once"),
    Case("label", check_llm, BarLabel, "'a|b'"),
    Case("check", check_llm, CheckText, "'a key'"),
    Case("check", check_llm, CheckRaises, "OSError: no key"),
    Case("needs", check_llm, NoNeeds, "returned None"),
    Case("needs", check_llm, NegativeNeeds, "needs().gpus: is -1"),
    Case("close", check_llm, ClosesOnce, "closed already"),
    Case("fingerprint", check_llm, FingerprintSet, "set is not JSON"),
    Case("fingerprint", check_llm, FingerprintOfInstance, "equal options"),
    Case("fingerprint", check_llm, FingerprintOfUse, "after use"),
    Case("determining", check_llm, ForgetsOptions, "style: style='dry-other' left"),
    Case("runtime", check_llm, KeepsRuntime, "threads: threads=2 changed"),
    Case("raises", check_llm, Raises, "KeyError: '猫' after 2 answers"),
    Case("once", check_llm, Twice, "chat-short: answered 2 times"),
    Case("once", check_llm, Forever, "no end of answers"),
    Case("once", check_llm, Skips, "chat-awkward: not answered"),
    Case("ids", check_llm, Uninvited, "'bonus': answered, but was not asked"),
    Case("ids", check_llm, Bare, "yielded str, which has no id"),
    Case("type", check_llm, WrongRecord, "chat-plain: yielded Score"),
    Case("failure", check_llm, Speechless, "chat-awkward: error is ''"),
    Case("answered", check_llm, Refuses, "all 5 failed, for instance: no"),
    Case("measures", check_llm, NegativeSeconds, "chat-plain: seconds is -1.0"),
    Case("measures", check_llm, NotesText, "chat-plain: notes are 'slow'"),
    Case("empty", check_llm, AnswersNothing, "yielded Failure"),
    Case("stop", check_llm, Unstoppable, "RuntimeError: no"),
    Case("repetition", check_llm, Counts, "chat-plain: asked again: text differs from character 7"),
    Case("repetition", check_generator, Unseeded, "clip-plain: asked again: other pixels"),
    Case("repetition", check_predictor, Drifts, "score-bars: asked again: popularity"),
    Case("repetition", check_embedder, Shaky, "text 'Cats': embedded again"),
    Case("repetition", check_corpus, Reordered, "part all: row 0 differs"),
    Case("order", check_llm, Position, "chat-plain: asked in reverse"),
    Case("company", check_llm, Crowd, "chat-plain: asked alone"),
    Case("company", check_embedder, Centred, "embedded alone"),
    Case("fresh", check_llm, Salted, "chat-plain: asked from another instance"),
    Case("reopen", check_llm, CloseBreaks, "chat-plain: asked after close()"),
    Case("identity", check_llm, ReadsId, "chat-plain: asked under another id"),
    Case("identity", check_predictor, ReadsFileName, "score-bars: asked under another id"),
    Case("text", check_llm, NumberText, "chat-plain: text is int"),
    Case("text", check_llm, NumberReasoning, "chat-plain: reasoning is int"),
    Case("usage", check_llm, TextUsage, "chat-plain: usage is {'input': 'many'}"),
    Case("frames", check_generator, FloatFrames, "clip-plain: frames are float64"),
    Case("frames", check_generator, NoFrames, "clip-plain: clip has neither frames nor a path"),
    Case("frames", check_generator, NoFile, "clip-plain: path nowhere.mp4 is no file"),
    Case("frames", check_generator, NotAVideo, "not a readable video"),
    Case("fps", check_generator, NoFps, "clip-plain: fps is None"),
    Case("black", check_generator, Black, "clip-plain: every frame is black"),
    Case("popularity", check_predictor, Logarithm, "score-bars: popularity is -"),
    Case("popularity", check_predictor, NotANumber, "score-bars: popularity is nan"),
    Case("unit", check_predictor, NoUnit, "unit is ''"),
    Case("trained_on", check_predictor, TrainedOnText, "returned 'demo/train'"),
    Case("trained_on", check_predictor, TrainedOnRaises, "OSError: no card"),
    Case("broken_video", check_predictor, TrustsVideos, "raised VideoError"),
    Case("broken_video", check_predictor, SkipsBrokenVideos, "score-broken-file: once: not answered"),
    Case("empty_title", check_predictor, TrustsTitles, "raised IndexError"),
    Case("vectors", check_embedder, Wide, "dtype: is float64"),
    Case("vectors", check_embedder, Flat, "no texts: is (0,)"),
    Case("vectors", check_embedder, ListRows, "returned list"),
    Case("vectors", check_embedder, EmptyRaises, "no texts: raised ValueError"),
    Case("norms", check_embedder, LongRows, "text 'Cats': length 2"),
    Case("rows", check_corpus, TupleRows, "part train: row 0: is a tuple"),
    Case("rows", check_corpus, NegativeRows, "popularity of 'tr' is -1.0"),
    Case("rows", check_corpus, JudgedRows, "popular of 'va' is True"),
    Case("unique_ids", check_corpus, SameIds, "part train: id 'tr' occurs 2 times"),
    Case("union", check_corpus, AllIsTrain, "row 'va' of valid is not in all"),
    Case("union", check_corpus, Bottomless, "part all is empty"),
    Case("unknown_part", check_corpus, AnyPart, "yielded 0 rows"),
    Case("unknown_part", check_corpus, KeyedParts, "KeyError"),
]

ALSO = {
    "Unmade": {"fingerprint", "fresh"},
    "FingerprintOfInstance": {"runtime"},
    "Bare": {"once"},
    "Position": {"company"},
    "Logarithm": {"empty_title"},
    "NotANumber": {"empty_title"},
    "Reordered": {"fresh"},
    "TupleRows": {"union"},
}
"""Rules that a component breaks besides its own, because one fault has several sides."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.component.__name__}")
def test_a_breach_is_reported_with_its_rule_and_what_was_seen(case: Case) -> None:
    with pytest.raises(ConformanceError) as caught:
        case.check(case.component)
    report = caught.value.report
    lines = [str(breach) for breach in report.breaches if breach.rule == case.rule]
    assert any(case.says in line for line in lines), str(report)
    assert all(line.startswith(f"{case.rule}: ") and RULES[case.rule] in line for line in lines)
    assert not any("\n" in line for line in lines)
    assert {breach.rule for breach in report.breaches} - ALSO.get(case.component.__name__, set()) == {case.rule}
    assert set(report.rules) <= set(RULES)


def test_every_rule_has_a_component_that_breaks_it() -> None:
    assert {case.rule for case in CASES} == set(RULES)


@pytest.mark.parametrize(
    ("check", "component"),
    [
        (check_llm, Plain),
        (check_generator, Noise),
        (check_predictor, Brightness),
        (check_embedder, Letters),
        (check_corpus, Shelf),
    ],
)
def test_a_class_and_an_instance_are_checked_like_a_spec(
    check: Callable[..., testing.Report], component: type[popbench.Component]
) -> None:
    assert check(component).ok
    assert check(component()).name == component.__name__


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("llm", "verbatim"),
        ("llm", "shotlist"),
        ("generator", "kinetic"),
        ("generator", "kinetic,width=65,height=67,frames=1,fps=0.5"),
        ("predictor", "demo"),
        ("embedder", "hashing"),
        ("embedder", "hashing,dim=64"),
        ("corpus", "demo"),
    ],
)
def test_first_party_components_keep_every_rule(kind: str, spec: str) -> None:
    report = testing.CHECKS[kind](spec)
    assert report.ok
    assert len(report.rules) >= 15


def test_one_error_lists_all_breaches() -> None:
    class Hopeless(BarLabel, NegativeSeconds, Twice):
        """Breaks three rules."""

    with pytest.raises(AssertionError) as caught:
        check_llm(Hopeless)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("llm Hopeless: breaks 3 of ")
    assert len([line for line in lines if line.startswith("  once: ")]) == len(testing.sample_chats())
    assert any(line.startswith("  label: ") for line in lines)
    assert any(line.startswith("  measures: ") for line in lines)


def test_a_component_that_cannot_run_here_is_not_passed() -> None:
    class NoKey(Plain):
        """Needs a key."""

        def check(self) -> list[str]:
            return ["no key: set EXAMPLE_KEY"]

    with pytest.raises(popbench.UsageError, match="cannot run here, so it was not checked: no key: set EXAMPLE_KEY"):
        check_llm(NoKey)


def test_a_model_that_promises_no_repetition_gets_notes_instead_of_breaches() -> None:
    report = check_llm(Counts, repeatable=False)
    assert any("asked again" in note for note in report.notes)


def test_own_requests_replace_the_samples() -> None:
    chat = replace(testing.sample_chats()[0], id="mine")
    with pytest.raises(ConformanceError) as caught:
        check_llm(Counts, requests=[chat])
    assert {breach.item for breach in caught.value.report.breaches} == {"mine"}


def test_values_that_cannot_be_guessed_can_be_given() -> None:
    class Listed(Plain):
        """Has an option of a kind that the kit thinks of no other value for."""

        class Options(popbench.Options):
            words: tuple[str, ...] = ("a",)

        def reply(self, chat: popbench.Chat) -> Any:
            return popbench.Completion(chat.id, "text")

        def fingerprint(self) -> Mapping[str, Any]:
            return {"name": "listed"}

    assert any("option words was not varied" in note for note in check_llm(Listed).notes)
    with pytest.raises(ConformanceError, match=r"determining: words: words=\('b',\) left"):
        check_llm(Listed, other_options={"words": ["b"]})
    with pytest.raises(popbench.UsageError, match="did you mean 'words'"):
        check_llm(Listed, other_options={"word": ["b"]})


def test_what_breaks_no_rule_is_noted() -> None:
    class Batch(Plain):
        """Reads everything before it answers, always the same, and no draft."""

        def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
            for chat in list(chats):
                yield popbench.Completion(chat.id, "same")

    notes = "\n".join(check_llm(Batch).notes)
    assert "it took all 5 requests before its first answer" in notes
    assert "another seed gave the same text" in notes
    assert "chat-short: no usable draft in the completion: 'same'" in notes


def test_what_is_no_component_of_the_kind_is_refused() -> None:
    for wrong in (Noise, Noise(), 3):
        with pytest.raises(popbench.UsageError, match="is no llm"):
            check_llm(wrong)  # type: ignore[arg-type]
    with pytest.raises(popbench.UsageError, match="did you mean 'verbatim'"):
        check_llm("verbatin")


def test_clips_may_come_as_files_and_in_a_buffer_that_is_used_again(tmp_path: Path) -> None:
    class Files(Noise):
        """Writes its own mp4, always to the same place."""

        def paint(self, request: popbench.VideoRequest) -> Any:
            from popbench.video import write_mp4

            clip = super().paint(request)
            write_mp4(clip.frames, 8, tmp_path / "clip.mp4")
            return popbench.Clip(request.id, path=tmp_path / "clip.mp4")

    class Buffer(Noise):
        """Renders into one array."""

        def __init__(self, options: Any = None) -> None:
            super().__init__(options)
            self.buffer = np.zeros((3, 16, 18, 3), np.uint8)

        def paint(self, request: popbench.VideoRequest) -> Any:
            clip = super().paint(request)
            self.buffer[:] = clip.frames
            return replace(clip, frames=self.buffer)

    assert check_generator(Files).ok
    assert check_generator(Buffer).ok


def test_sample_requests_are_the_same_every_time(tmp_path: Path) -> None:
    assert testing.sample_chats() == testing.sample_chats()
    assert any(chat.references for chat in testing.sample_chats())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (testing.sample_score_requests(tmp_path / name) for name in ("a", "b"))
    assert [item.path.read_bytes() for item in first] == [item.path.read_bytes() for item in second]
    assert len({item.path.read_bytes() for item in first}) == 3


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "popbench.testing", *words], capture_output=True, text=True, check=False
    )


def test_the_command_says_what_was_found_and_exits_with_it() -> None:
    done = command("llm", "verbatim", "shotlist")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("llm verbatim: keeps all ")
    found = [json.loads(line) for line in command("corpus", "demo", "--json").stdout.splitlines()]
    assert [(item["name"], item["ok"], item["breaches"]) for item in found] == [("demo", True, [])]
    for words, said in (
        (("llm", "verbatin"), "did you mean 'verbatim'"),
        (("llm", "verbatim,x=1"), "unknown option"),
        (("poem", "x"), "'poem' is not one of"),
        (("corpus", "demo", "--not-repeatable"), "always repeatable"),
    ):
        done = command(*words)
        assert done.returncode == 2
        assert said in done.stderr


def test_the_command_exits_with_1_for_a_breach(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from popbench.registry import Plugin, Registration, load_registry
    from popbench.testing.__main__ import command as run

    plugin = Plugin("test", "test", "1", "test")
    monkeypatch.setitem(
        load_registry().registrations, ("llm", "twice"), [Registration("llm", "twice", Twice, {}, plugin)]
    )
    with pytest.raises(SystemExit) as caught:
        run(["llm", "twice", "verbatim"])
    assert caught.value.code == 1
    said = capsys.readouterr().out
    assert "llm twice: breaks 1 of" in said
    assert "llm verbatim: keeps all" in said

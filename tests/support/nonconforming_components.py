"""Generators, predictors, embedders and corpora, each of which breaks one rule of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import popbench
from conforming_components import Brightness, Letters, Noise, Relevance, Shelf

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


class Undeclared(Noise):
    """Has sound, and does not say so."""

    def sound(self, clip: popbench.Clip) -> Any:
        return np.zeros((9000, 2), np.float32)

    def paint(self, request: popbench.VideoRequest) -> Any:
        clip = super().paint(request)
        return replace(clip, sound=self.sound(clip), sample_rate=24_000)


class Clipped(Undeclared):
    """Has sound in the numbers of 16 bits."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.full((9000, 2), 32_767.0)


class LongSound(Undeclared):
    """Has sound of another length than its frames."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.zeros((90_000, 1), np.float32)


class Hissing(Undeclared):
    """Has other sound each time."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.random.default_rng().uniform(-1, 1, (9000, 1))


class AskedForSound(Noise):
    """Does not know whether it has sound."""

    makes_sound = "if asked"  # type: ignore[assignment]


class SecondsUnpriced(Noise):
    """Says how long a clip is, and has no price for that."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return replace(super().paint(request), usage={"video_seconds": 2.5})

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return usage["requests"] * 0.5


class TextTokens(Brightness):
    """Counts the tokens of one video in words."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for answer in super().score(items):
            many: Any = {"input": "many"}
            yield replace(answer, usage=many if answer.id == "score-bars" else None)


class Black(Noise):
    """Renders black frames."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.zeros((3, 16, 18, 3), np.uint8), fps=8)


class Queued(Noise):
    """Submits a job for each clip, and breaks no rule: `job` is the place to break one."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.job or {"id": f"{request.prompt[:9]}-{request.seed}"}

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[Any]:
        for request in requests:
            yield popbench.Submitted(request.id, self.job(request))
            yield self.paint(request)


class NoJson(Queued):
    """Submits bytes."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return b"job-1"


class Large(Queued):
    """Submits more than an id."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.job or "x" * 70_000


class Forgetful(Queued):
    """Makes another job, although it has one."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.key


class Late(Noise):
    """Submits after its answer."""

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[Any]:
        for request in requests:
            yield self.paint(request)
            yield popbench.Submitted(request.id, 1)


class Unseeded(Noise):
    """Renders other noise each time."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.random.default_rng().integers(0, 256, (3, 16, 18, 3), np.uint8), fps=8)


class NumberVersion(Noise):
    """Has a number for a version."""

    version = 1  # type: ignore[assignment]


class Perhaps(Noise):
    """Does not say whether it repeats itself."""

    repeatable = "mostly"  # type: ignore[assignment]


class Moody(Letters):
    """Is an embedder that may answer otherwise."""

    repeatable = False


class Logarithm(Brightness):
    """Yields a logarithm, which may be below 0."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return -super().popularity(item)


class OddScale(Brightness):
    """Counts on a scale that is none."""

    scale: Any = "logarithmic"


class EndlessPart(Brightness):
    """Has a part that is no number."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for answer in super().score(items):
            yield answer if isinstance(answer, popbench.Failure) else replace(answer, parts={"motion": float("inf")})


class DriftingPart(Brightness):
    """Has a part that is another one with every call."""

    calls = 0

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for answer in super().score(items):
            self.calls += 1
            yield (
                answer if isinstance(answer, popbench.Failure) else replace(answer, parts={"motion": float(self.calls)})
            )


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


class UsesNothingKnown(Brightness):
    """Names something that requests do not have."""

    uses = frozenset({"video", "name"})


class TrustsVideoPrompts(Relevance):
    """Raises without a video prompt."""

    def relevance(self, item: popbench.ScoreRequest) -> float:
        assert item.video_prompt is not None
        return super().relevance(item)


class TrustsExtra(Relevance):
    """Raises where a field is missing."""

    def relevance(self, item: popbench.ScoreRequest) -> float:
        return super().relevance(item) + len(item.extra["tags"])


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


class LongQueries(Letters):
    """Doubles the rows of queries."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return 2 * self.encode(texts)


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

    def content(self) -> str:
        return "tuples"


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


class NumberContent(Shelf):
    """Identifies its rows by a number."""

    def content(self) -> Any:
        return 3


class ContentRaises(Shelf):
    """Cannot say what its rows are, and has a fingerprint all the same."""

    def content(self) -> str:
        raise OSError("no such file")

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "shelf", "version": "1", "options": self.options.determining()}


class ForgetsContent(Shelf):
    """Leaves what the rows are out of the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "shelf", "version": "1", "options": self.options.determining()}


class OtherContent(Shelf):
    """Has something else in the fingerprint."""

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "content": "three videos"}


class ContentOfInstance(OtherContent):
    """Identifies its rows otherwise each time it is made."""

    made = 0

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        type(self).made += 1
        self.number = self.made

    def content(self) -> str:
        return f"content {self.number}"


class ContentOfUse(OtherContent):
    """Identifies its rows by how often they were read."""

    reads = 0

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        self.reads += 1
        return super().rows(part)

    def content(self) -> str:
        return f"read {self.reads} times"


class RemarksText(Shelf):
    """Has one remark instead of a list of them."""

    def remarks(self) -> Any:
        return "one row skipped"


class RemarksUnread(Shelf):
    """Has no remarks before it was read."""

    skipped: list[str]

    def rows(self, part: str) -> Iterator[popbench.Reference]:
        self.skipped = []
        return super().rows(part)

    def content(self) -> str:
        return "three videos"

    def remarks(self) -> list[str]:
        return self.skipped


class KnownAsNone(Shelf):
    """Is known as nothing."""

    known_as = None  # type: ignore[assignment]

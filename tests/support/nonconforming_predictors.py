"""Predictors that break one rule each, for tests of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import popbench
from conforming_components import Brightness, Longer, Relevance


class TextTokens(Brightness):
    """Counts the tokens of one video in words."""

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        for answer in super().score(items):
            many: Any = {"input": "many"}
            yield replace(answer, usage=many if answer.id == "score-bars" else None)


class Logarithm(Brightness):
    """Yields a logarithm, which may be below 0."""

    def popularity(self, item: popbench.ScoreRequest) -> Any:
        return -super().popularity(item)


class OddScale(Brightness):
    """Counts on a scale that is none."""

    scale: Any = "logarithmic"


class OddCard(Brightness):
    """Says a card of no differences."""

    def card(self) -> Any:
        share = {"pairs": 1, "value": 0.5, "low": 0.4, "high": 0.6}
        known = {"measure": "views", "data": "videos", "digest": "d", "scale": "positive", "videos": 2}
        return {**known, "accuracy": share, "by_difference": []}


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


class ByHowMuch(Longer):
    """Counts by how much it prefers."""

    def prefers(self, item: popbench.CompareRequest) -> Any:
        return len(item.first.title) - len(item.second.title)


class NoOpponents(Longer):
    """Has no opponents."""

    opponents = 0


class PositiveShare(Longer):
    """Gives shares of another scale."""

    scale = "positive"


class AnswersOnce(Longer):
    """Answers each pair once, whichever is first."""

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score]:
        seen: set[frozenset[str]] = set()
        for answer, item in ((popbench.Score(item.id, self.prefers(item)), item) for item in items):
            both = frozenset((item.first.title, item.second.title))
            if both not in seen:
                yield answer
            seen.add(both)

"""The kit and predictors that compare pairs: both orders are asked, and what is no preference is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import popbench
from popbench import testing


class Longer(popbench.PairwisePredictor):
    """Takes the video with the longer title."""

    version = "1"
    uses = frozenset({"title"})

    def prefers(self, item: popbench.CompareRequest) -> Any:
        first, second = len(item.first.title), len(item.second.title)
        return 0.5 if first == second else float(first > second)

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score]:
        for item in items:
            yield popbench.Score(item.id, self.prefers(item))


class Wild(Longer):
    """Counts by how much it prefers."""

    def prefers(self, item: popbench.CompareRequest) -> Any:
        return len(item.first.title) - len(item.second.title)


class Alone(Longer):
    """Has no opponents."""

    opponents = 0


class Positive(Longer):
    """Gives shares of another scale."""

    scale = "positive"


class Impatient(Longer):
    """Answers each pair once, whichever is first."""

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score]:
        seen: set[frozenset[str]] = set()
        for answer, item in ((popbench.Score(item.id, self.prefers(item)), item) for item in items):
            both = frozenset((item.first.title, item.second.title))
            if both not in seen:
                yield answer
            seen.add(both)


class First(Longer):
    """Prefers the first."""

    def prefers(self, item: popbench.CompareRequest) -> Any:
        return 1


def test_pairs_are_asked_both_ways_round() -> None:
    asked: list[tuple[str, str]] = []

    class Watched(Longer):
        """Notes what it is asked."""

        def prefers(self, item: popbench.CompareRequest) -> Any:
            asked.append((item.first.title, item.second.title))
            return super().prefers(item)

    report = testing.check_predictor(Watched)
    assert report.ok
    assert not report.notes
    assert {pair[::-1] for pair in asked[:4]} == set(asked[:4])
    assert {"preference", "opponents", "once", "empty_title"} <= set(report.rules)


@pytest.mark.parametrize(
    ("predictor", "rule"), [(Wild, "preference"), (Alone, "opponents"), (Impatient, "once"), (Positive, "scale")]
)
def test_what_breaks_a_rule_is_named(predictor: type[Longer], rule: str) -> None:
    with pytest.raises(testing.ConformanceError) as caught:
        testing.check_predictor(predictor)
    assert rule in {breach.rule for breach in caught.value.report.breaches}


def test_a_place_that_is_always_preferred_is_noted() -> None:
    assert "every answer prefers the first video, whichever it is" in testing.check_predictor(First).notes


def test_a_pairwise_predictor_scores_no_video_alone() -> None:
    with pytest.raises(TypeError, match="compares two videos, and scores none alone"):
        Longer().score([])


def test_requests_are_values(tmp_path: Any) -> None:
    first, second, *_ = testing.sample_compare_requests(tmp_path)
    assert (first.first, first.second) == (second.second, second.first)
    assert replace(first, key="k").key == "k"

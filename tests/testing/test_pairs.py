"""The kit and predictors that compare pairs: both orders are asked, and what is no preference is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import popbench
from conforming_components import Longer
from popbench import testing


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


def test_a_place_that_is_always_preferred_is_noted() -> None:
    assert "every answer prefers the first video, whichever it is" in testing.check_predictor(First).notes


def test_a_pairwise_predictor_scores_no_video_alone() -> None:
    with pytest.raises(TypeError, match="compares two videos, and scores none alone"):
        Longer().score([])


def test_requests_are_values(tmp_path: Any) -> None:
    first, second, *_ = testing.sample_compare_requests(tmp_path)
    assert (first.first, first.second) == (second.second, second.first)
    assert replace(first, key="k").key == "k"

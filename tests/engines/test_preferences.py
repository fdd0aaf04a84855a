"""Preferences between videos outside of a run: both orders are asked, and a preference for a place cancels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import pairwise_components
import popbench
from pairwise_components import Duel
from popbench.engines import preferences
from popbench.errors import ComponentError


def pairs(
    tmp_path: Path, *ranks: tuple[int, int]
) -> Iterator[tuple[str, popbench.ScoreRequest, popbench.ScoreRequest]]:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    for number, both in enumerate(ranks):
        first, second = (popbench.ScoreRequest("", f"{rank} things", clip) for rank in both)
        yield f"pair {number}", first, second


@pytest.mark.parametrize(("place", "expected"), [("", [0.0, 1.0, 0.5]), ("first", [0.5] * 3), ("second", [0.5] * 3)])
def test_each_pair_is_asked_both_ways_round(place: str, expected: list[float], tmp_path: Path) -> None:
    pairwise_components.install()
    duel = Duel(Duel.Options(place=place))
    found = dict(preferences(duel, pairs(tmp_path, (1, 2), (9, 3), (4, 4))))
    assert found == {f"pair {number}": value for number, value in enumerate(expected)}
    assert pairwise_components.ASKED[:2] == [("1 things", "2 things"), ("2 things", "1 things")]


class Backwards(Duel):
    """Answers in the opposite order."""

    def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        yield from reversed(list(super().compare(items)))


def test_answers_may_come_in_any_order_and_a_failure_is_that_of_its_pair(tmp_path: Path) -> None:
    duel = Backwards(Backwards.Options(fails="5 things"))
    found = dict(preferences(duel, pairs(tmp_path, (1, 2), (5, 3))))
    assert found["pair 0"] == 0.0
    assert isinstance(found["pair 1"], popbench.Failure)
    assert found["pair 1"].error == "out of order"


def test_a_predictor_that_ends_early_is_an_error(tmp_path: Path) -> None:
    class Short(Duel):
        """Answers nothing."""

        def compare(self, items: Iterable[popbench.CompareRequest]) -> Iterator[popbench.Score | popbench.Failure]:
            return iter(())

    with pytest.raises(ComponentError, match="ended before it was asked everything"):
        list(preferences(Short(), pairs(tmp_path, (1, 2))))

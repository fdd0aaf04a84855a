"""What a predictor answers: a value, under both of its names, parts, and what its scale allows."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import popbench
from popbench.engines.answer_stream import answers


def test_a_score_is_made_as_plugins_made_it_before() -> None:
    assert popbench.Score("a", 2.0).popularity == popbench.Score("a", popularity=2.0).value == 2.0
    score = popbench.Score("a", 1.0, {"extra": 1}, 0.5, 7.0, ("n",), {"input": 3})
    assert (score.extra, score.seconds, score.peak_memory_mb) == ({"extra": 1}, 0.5, 7.0)
    assert (score.notes, score.usage, score.parts) == (("n",), {"input": 3}, {})
    assert popbench.Score("a", 1.0) == popbench.Score("a", popularity=1.0)


def test_a_score_is_replaced_and_pickled_with_all_that_it_holds() -> None:
    score = popbench.Score("a", -1.5, parts={"motion": 2.0}, notes=("n",))
    assert replace(score, seconds=1.0).parts == {"motion": 2.0}
    changed: Any = {"popularity": 3.0}  # the name of the field in plugins written earlier
    assert replace(score, value=3.0).popularity == replace(score, **changed).value == 3.0
    assert pickle.loads(pickle.dumps(score)) == score
    with pytest.raises(AttributeError):
        score.value = 1.0  # type: ignore[misc]
    assert not hasattr(score, "__dict__")


class Answers(popbench.Predictor):
    """Answers what it is given."""

    version = "1"

    def __init__(self, scale: Any, **score: Any) -> None:
        super().__init__()
        self.scale = scale
        self.given = score

    def score(self, items: Any) -> Iterator[popbench.Score]:
        for item in items:
            yield popbench.Score(item.id, **self.given)


def answer(scale: str, **score: Any) -> Any:
    (found,) = answers(Answers(scale, **score), [popbench.ScoreRequest("a", "t", Path("v.mp4"))], Path(), "p")
    return found


@pytest.mark.parametrize("value", [-5, 0, 2.5, -1e299])
def test_a_real_scale_takes_any_finite_number(value: float) -> None:
    found = answer("real", value=value, parts={"motion": -1, "sharp": 0.0})
    assert (found.value, type(found.value)) == (value, float)
    assert found.parts == {"motion": -1.0, "sharp": 0.0}


@pytest.mark.parametrize(
    ("scale", "value", "told"),
    [
        ("positive", 0.0, 'popularity is 0.0, expected a finite number above 0, or scale = "real" for scores of any'),
        ("positive", -2.0, 'popularity is -2.0, expected a finite number above 0, or scale = "real"'),
        ("positive", float("nan"), "popularity is nan, expected a finite number above 0"),
        ("real", float("nan"), "value is nan, expected a finite number"),
        ("real", float("-inf"), "value is -inf, expected a finite number"),
        ("real", "high", "popularity is 'high', expected a number"),
        ("real", None, "popularity is None, expected a number"),
    ],
)
def test_a_value_that_the_scale_does_not_have_is_a_failure_of_its_item(scale: str, value: Any, told: str) -> None:
    found = answer(scale, value=value)
    assert isinstance(found, popbench.Failure)
    assert not found.invalid
    assert told in found.error


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"": 1.0}, "a part is called ''"),
        ({" motion": 1.0}, "a part is called ' motion'"),
        ({"two\nlines": 1.0}, "expected text on one line"),
        ({"x" * 61: 1.0}, "of at most 60 characters"),
        ({3: 1.0}, "a part is called 3"),
        ({"motion": float("inf")}, "part 'motion' is inf, expected a finite number"),
        ({"motion": True}, "part 'motion' is True"),
        ({"motion": None}, "part 'motion' is None"),
        ({"motion": "4"}, "part 'motion' is '4'"),
        ([1.0], "expected at most 100 numbers by name"),
        ({f"p{n}": 1.0 for n in range(101)}, "expected at most 100 numbers by name"),
    ],
)
def test_parts_that_no_table_could_show_are_a_failure_of_their_item(parts: Any, told: str) -> None:
    found = answer("positive", value=1.0, parts=parts)
    assert isinstance(found, popbench.Failure)
    assert told in found.error
    assert "\n" not in found.error


def test_a_predictors_fingerprint_is_as_before_unless_its_scale_is_real() -> None:
    assert "scale" not in Answers("positive").fingerprint()
    assert Answers("real").fingerprint() == {**Answers("positive").fingerprint(), "scale": "real"}


def test_what_an_earlier_plugin_keeps_in_scale_is_its_own(tmp_path: Path) -> None:
    (found,) = answers(Answers(0.5, value=2.0), [popbench.ScoreRequest("a", "t", Path("v.mp4"))], tmp_path, "p")
    assert isinstance(found, popbench.Score)
    assert found.value == 2.0
    assert "scale" not in Answers(np.ones(3)).fingerprint()

"""Marks are read wherever they stand in an answer, and what is no judgement is told."""

from __future__ import annotations

import time

import pytest

from popbench.judging.marks import read_marks


@pytest.mark.parametrize(
    "text",
    [
        '{"b": 1, "score": 7.5, "a": 10}',
        'I like it.\n```json\n{"A": "10", "b": 1, "Score": "7.5", "why": {"score": 1}}\n```',
        '<think>{"a": 0, "b": 0, "score": 0}</think>{"a": 10, "b": 1, "score": 7.5}',
        '{"a": 0, "b": 0, "score": 0} no: {broken {"a": 10, "b": 1.0, "score": 7.5}',
    ],
)
def test_marks_are_read_wherever_they_stand(text: str) -> None:
    assert read_marks(text, ["a", "b"]) == {"a": 10, "b": 1, "score": 7.5}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A fine clip.", "no JSON object with 'score'"),
        ('{"a": 1, "score": 5', "no JSON object with 'score'"),
        ('{"score": 5}', "no mark for 'a'"),
        ('{"a": 1, "score": 11}', "the mark for 'score' is 11, not from 0 to 10"),
        ('{"a": -0.5, "score": 5}', "the mark for 'a' is -0.5, not from 0 to 10"),
        ('{"a": NaN, "score": 5}', "the mark for 'a' is no number"),
        ('{"a": Infinity, "score": 5}', "the mark for 'a' is inf, not from 0 to 10"),
        ('{"a": true, "score": 5}', "the mark for 'a' is no number"),
        ('{"a": [1], "score": 5}', "the mark for 'a' is no number"),
        ('{"a": 1, "score": ' + "9" * 400 + "}", "the mark for 'score' is inf, not from 0 to 10"),
        ('{"a":' * 100_000, "no JSON object with 'score'"),
    ],
)
def test_what_is_no_judgement_is_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="^" + why):
        read_marks(text, ["a"])


@pytest.mark.parametrize("again", ["<think>", "<think>{", "{", '{"a":', '{"a":[', '{"a":"', '{"'])
def test_an_answer_that_repeats_itself_is_read_at_once(again: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match="no JSON object with 'score'"):
        read_marks(again * 100_000, [])
    assert read_marks(again * 100_000 + '</think> {"score": 3}', []) == {"score": 3}
    assert time.perf_counter() - start < 10

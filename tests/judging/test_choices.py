"""A choice between two clips is read from an answer, and anything else is none."""

from __future__ import annotations

import pytest

from popbench.judging.choices import read_choice


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"better": "first"}', 1.0),
        ('<think>{"better": "first"}</think> so: {"Better": " Second "}', 0.0),
        ('```json\n{"better": 2}\n```', 0.0),
        ('{"why": "alike", "better": "tie"}', 0.5),
    ],
)
def test_a_choice_is_read_from_the_last_object_that_has_one(text: str, value: float) -> None:
    assert read_choice(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The first.", "no JSON object with 'better'"),
        ('{"better": "dark"}', "'better' is 'dark', not 'first', 'second' or 'neither'"),
        ('{"better": true}', "'better' is True"),
        ('{"better": null}', "'better' is None"),
        ('{"better": ["first"]}', "'better' is ['first']"),
    ],
)
def test_anything_else_is_no_choice(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="better") as caught:
        read_choice(text)
    assert said in str(caught.value)

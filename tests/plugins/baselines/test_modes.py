"""Which draft an answer names, in the forms that models answer in."""

from __future__ import annotations

import pytest

from popbench_baselines.modes import named


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"best": 2}', 2),
        ('```json\n{"best": "3"}\n```', 3),
        ("{'best' : 1}", 1),
        ("Draft 1 has 3 beats, so I take it.", 1),
        ('Draft 1:\n{ "title": "A 3-second clip" }', 1),
        ('Draft 1 is slow and Draft 2 is loud.\n{"best": 2}', 2),
        ("2", 2),
        ("I choose number 3.", 3),
        ("Draft 1 or draft 2, both are good.", None),
        ('{"best": 9}', None),
        ('{"best": 99999999999999999999}', None),
        ("The second one.", None),
        ("", None),
        ("v2 at 0.3", None),
    ],
)
def test_an_answer_names_one_draft_or_none(text: str, number: int | None) -> None:
    assert named(text, 3) == number

"""The question that a task puts to people: part of the task where it has one, and nothing where it has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_tasks import loaded, task_file
from popbench.errors import UsageError
from popbench.tasks.loading import load_task


def test_a_task_without_a_question_keeps_its_hash_and_rules(tmp_path: Path) -> None:
    task = loaded(tmp_path)
    assert task.file.question is None
    assert task.rules == {"title_max_chars": 50, "clip_seconds": 3}


def test_a_question_is_part_of_the_task(tmp_path: Path) -> None:
    plain, asked = loaded(tmp_path / "a"), loaded(tmp_path / "b", question="Which is funnier?")
    assert asked.rules == {**plain.rules, "question": "Which is funnier?"}
    assert asked.hash != plain.hash
    assert asked.hash != loaded(tmp_path / "c", question="Which is sadder?").hash


@pytest.mark.parametrize("question", ["", 3, ["Which?"], "x" * 301])
def test_what_is_no_question_is_refused_with_its_key(tmp_path: Path, question: object) -> None:
    with pytest.raises(UsageError, match=r"mine\.yaml: question: "):
        load_task(task_file(tmp_path, question=question))

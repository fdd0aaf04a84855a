"""Tasks: what makes two of them the same, which prompts a limit takes, and how they are found by name."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import popbench
from made_tasks import ROWS, TEMPLATE, leave_no_traces, loaded, task_file
from popbench.hookspecs import RegisterTasks
from popbench.records import Prompt
from popbench.registry import Plugin, load_registry
from popbench.tasks.loading import load_task, load_tasks
from popbench.tasks.schema import Fields, TaskFile
from popbench.tasks.task import Task
from usage_errors import refusal


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    leave_no_traces(monkeypatch, tmp_path_factory)


# -- hash


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"name": "other"},
        {"draft": {"title_max_chars": 49}},
        {"draft": {"clip_seconds": 4}},
        {"where": {"kind": "x"}},
        {"fields": {"id": "id", "prompt": "prompt"}},
        {"fields": {"prompt": "prompt", "category": "category"}},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "prompt": "Prompt number 5!"}]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "category": "c"}]},
        {"rows": [*ROWS[:-1], {**ROWS[-1], "id": "p6"}]},
    ],
)
def test_the_hash_changes_with_what_is_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert loaded(tmp_path / "a", **changes).hash != loaded(tmp_path / "b").hash


def test_the_hash_stays_with_what_is_not_compared(tmp_path: Path) -> None:
    task = loaded(tmp_path / "a")
    other = loaded(
        tmp_path / "b",
        [{**row, "kind": "another"} for row in ROWS],
        description="Words about it",
        group="friends",
        draft={"title_max_chars": 50, "clip_seconds": 3},
        version="1",
    )
    assert other.hash == task.hash
    rows = tmp_path / "b" / "rows.csv"
    with rows.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    path = task_file(tmp_path / "b", dataset={"path": "csv", "data_files": "rows.csv"})
    assert load_task(path).hash == task.hash
    (tmp_path / "b" / "basic.j2").write_text(TEMPLATE + "Another wording.")
    assert load_task(path).hash == task.hash


# -- limits


def made(categories: Sequence[str]) -> Task:
    file = TaskFile(task="t", version=1, dataset={}, fields=Fields(prompt="p"), templates={"basic": "b"})
    return Task(file, Path(), tuple(Prompt(f"p{n}", "x", name, "t") for n, name in enumerate(categories)))


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30))
def test_a_limit_is_nested_and_goes_round_robin_over_the_categories(categories: list[str]) -> None:
    task = made(categories)
    sizes = Counter(categories)
    before: set[str] = set()
    for limit in range(1, len(categories) + 3):
        chosen = task.limited(limit)
        ids = [prompt.id for prompt in chosen]
        assert len(ids) == min(limit, len(categories))
        assert before <= set(ids)
        assert ids == sorted(ids, key=lambda id_: int(id_[1:]))
        before = set(ids)
        counts = Counter(prompt.category for prompt in chosen)
        for one, size in sizes.items():
            first = [prompt.id for prompt in task.prompts if prompt.category == one][: counts[one]]
            assert [prompt.id for prompt in chosen if prompt.category == one] == first
            if counts[one] < size:
                assert counts[one] >= max(counts.values()) - 1
    assert task.limited(None) == task.prompts


def test_the_first_of_each_category_come_first() -> None:
    chosen = made("aaabbc").limited(4)
    assert [prompt.id for prompt in chosen] == ["p0", "p1", "p3", "p5"]


# -- finding tasks


def test_a_task_a_group_a_file_and_a_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = task_file(tmp_path / "f", name="one"), task_file(tmp_path / "f" / "sub", name="two")
    monkeypatch.chdir(tmp_path)
    assert [task.name for task in load_tasks(["popcorn_concrete"])] == ["popcorn_concrete"]
    assert [task.name for task in load_tasks(["popcorn"])] == ["popcorn_abstract", "popcorn_concrete"]
    assert [task.name for task in load_tasks([str(first)])] == ["one"]
    assert [task.name for task in load_tasks(["f"])] == ["one", "two"]
    assert [task.name for task in load_tasks(["f/"])] == ["one", "two"]
    assert [task.name for task in load_tasks(["f", str(first), "popcorn_concrete"])] == [
        "one",
        "two",
        "popcorn_concrete",
    ]
    assert [task.name for task in load_tasks(["popcorn_concrete", "popcorn"])] == [
        "popcorn_concrete",
        "popcorn_abstract",
    ]


def test_an_installed_task_is_not_hidden_by_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_file(tmp_path / "popcorn", name="one")
    monkeypatch.chdir(tmp_path)
    assert len(load_tasks(["popcorn"])) == 2
    assert [task.name for task in load_tasks(["./popcorn"])] == ["one"]


def test_a_file_whose_path_has_an_equals_sign_or_comma_can_be_named(tmp_path: Path) -> None:
    path = task_file(tmp_path / "seed=1,size=2", name="one")
    assert [task.name for task in load_tasks([str(path)])] == ["one"]


def test_an_unknown_task_is_told_with_tasks_and_groups(tmp_path: Path) -> None:
    message = refusal(lambda: load_tasks(["popcorn_concret"]))
    assert "did you mean 'popcorn_concrete'?" in message
    for name in ("popcorn,", "popcorn_abstract", "llmpopcorn"):
        assert name in message


def test_a_folder_without_tasks_and_a_broken_one_are_told(tmp_path: Path) -> None:
    assert "no task file" in refusal(lambda: load_tasks([str(tmp_path)]))
    task_file(tmp_path, name="fine")
    task_file(tmp_path, name="bad", versoin=1)
    assert "versoin" in refusal(lambda: load_tasks([str(tmp_path)]))


def test_an_unknown_option_of_a_task_is_told(tmp_path: Path) -> None:
    message = refusal(lambda: load_tasks(["popcorn_concrete,pth=x"]))
    assert "unknown option of task popcorn_concrete 'pth': did you mean 'path'?" in message


def test_two_different_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    one, two = task_file(tmp_path / "a"), task_file(tmp_path / "b", ROWS[:3])
    assert "'mine'" in refusal(lambda: load_tasks([str(one), str(two)]))


def test_two_tasks_of_one_name_that_differ_in_templates_are_refused(tmp_path: Path) -> None:
    one, two = task_file(tmp_path / "a"), task_file(tmp_path / "b")
    (tmp_path / "b" / "basic.j2").write_text(TEMPLATE.replace("brief", "verbose"))
    assert "'mine'" in refusal(lambda: load_tasks([str(one), str(two)]))


def test_a_task_that_two_plugins_register_is_refused_by_name_and_the_rest_works(tmp_path: Path) -> None:
    class Module:
        @staticmethod
        @popbench.hookimpl
        def register_tasks(register: RegisterTasks) -> None:
            register(tmp_path / "a")
            register(tmp_path / "b")

    task_file(tmp_path / "a", name="twice_registered")
    task_file(tmp_path / "b", name="twice_registered")
    task_file(tmp_path / "b", name="once_registered")
    task_file(tmp_path / "b", name="broken_registered", versoin=1)
    registry = load_registry()
    registry.add(Module, Plugin("t", "t", "1", "t"))
    try:
        message = refusal(lambda: load_tasks(["twice_registered"]))
        assert str(tmp_path / "a") in message
        assert str(tmp_path / "b") in message
        assert [task.name for task in load_tasks(["once_registered"])] == ["once_registered"]
        assert "versoin" in refusal(lambda: load_tasks(["broken_registered"]))
    finally:
        registry.plugins.pop()
        del registry.task_folders[-2:]

"""`popbench task`: what it lists and shows, and mistakes in a task told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from command_line import Run, in_process


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return in_process(monkeypatch, capsys, tmp_path)


# -- mistakes in a task


def task_folder(tmp_path: Path, template: str = "{{ prompt }}", **changes: Any) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "t.jsonl").write_text('{"id": "a", "prompt": "A cat"}\n{"id": "b", "prompt": "a  CAT"}\n')
    blocks = "{% block system %}Be brief.{% endblock %}{% block user %}" + template + "{% endblock %}"
    (folder / "basic.j2").write_text(blocks)
    content = {
        "task": "mine",
        "version": 1,
        "description": "A task [of mine]",
        "dataset": {"path": "json", "data_files": "t.jsonl"},
        "fields": {"id": "id", "prompt": "prompt"},
        "templates": {"basic": "basic.j2"},
        **changes,
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return folder / "mine.yaml"


COMMANDS = [("eval", "--mode", "basic", "--task"), ("task", "show"), ("task", "validate")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_mistake_in_a_task_is_one_line_and_status_2(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, task_folder(tmp_path, tempaltes={}))
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'templates'?" in done.line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_mistake_in_a_template_is_one_line_and_status_2(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, task_folder(tmp_path, "{{ promt }}"))
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'prompt'?" in done.line
    assert "basic.j2" in done.line


def test_a_template_that_fails_on_some_prompts_is_told_by_validate(run: Run, tmp_path: Path) -> None:
    path = task_folder(tmp_path, "{{ prompt.split('  ')[0] }}{{ 1 // (prompt == 'A cat') }}")
    done = run("task", "validate", path)
    assert done.status == 2
    assert "prompt 'b'" in done.line


# -- what is told of a task


def test_task_list_names_tasks_groups_and_modes(run: Run) -> None:
    done = run("task", "list")
    assert (done.status, done.err) == (0, "")
    for text in ("popcorn_concrete", "popcorn_abstract", "llmpopcorn_abstract", "llmpopcorn", "basic, pe"):
        assert text in done.out


def test_task_show_prints_the_exact_messages(run: Run, tmp_path: Path) -> None:
    path = task_folder(tmp_path, "[bold]{{ prompt }}[/x]: {{ draft.title_max_chars }}")
    done = run("task", "show", path)
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "# mine/a, category all, mode basic\n\n## system\n\nBe brief.\n\n## user\n\n[bold]A cat[/x]: 50\n\n"
    )
    assert "[bold]a  CAT[/x]" in run("task", "show", path, "--prompt", "b").out


def test_task_show_prints_references_in_their_mode(run: Run) -> None:
    done = run("task", "show", "popcorn_concrete", "--mode", "pe,k=5,negative_ratio=0.4")
    assert (done.status, done.err) == (0, "")
    assert "mode pe[k=5,negative_ratio=0.4]" in done.out
    assert done.out.count("Title: ") == 5
    assert done.out.count("(unpopular)") == 2


def test_task_show_takes_the_first_prompt_of_the_first_task(run: Run, tmp_path: Path) -> None:
    rows = [f"{kind},Prompt {n} of {kind}\n" for kind in ("abstract", "concrete") for n in range(100)]
    (tmp_path / "hub.csv").write_text("type,prompt\n" + "".join(rows))
    done = run("task", "show", "llmpopcorn,path=hub.csv")
    assert done.out.startswith("# llmpopcorn_abstract/0001, category Anime, mode basic\n")


def test_task_validate_counts_prompts_and_tells_repeated_ones(run: Run, tmp_path: Path) -> None:
    done = run("task", "validate", task_folder(tmp_path), "popcorn_concrete")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "mine: 2 prompts (all 2), modes basic: ok",
        "mine: 2 prompts read 'a cat'",
        "popcorn_concrete: 100 prompts (Anime 20, Delicacy 20, Daily Sharing 20, Film and TV 20, Game 20), "
        "modes basic, pe: ok",
    ]

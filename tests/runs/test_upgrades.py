"""An upgrade that makes earlier results count no more is told before any work, with how many are made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, in_process
from popbench.registry import load_registry

COMMAND = (
    "eval", "--llm", "verbatim", "--llm", "shotlist", "--gen", "kinetic,width=64,height=64,frames=4", "--mode", "basic",
    "--task", "popcorn_concrete", "--corpus", "demo", "--limit", "3", "--out", "run",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    call = in_process(monkeypatch, capsys, tmp_path)
    assert call(*COMMAND).status == 0
    return call


def upgraded(monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    monkeypatch.setattr(load_registry().find(kind, name).load(), "version", "9.9")


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("llm", "shotlist", "shotlist: version 1 → 9.9: 3 drafts of this run are made again"),
        ("generator", "kinetic", "version 1 → 9.9: 6 clips of this run are made again"),
        ("predictor", "demo", "version 1 → 9.9: 6 scores of this run are made again"),
    ],
)
def test_an_upgraded_plugin_is_told_before_any_work_and_in_a_dry_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, told: str
) -> None:
    upgraded(monkeypatch, kind, name)
    dry = run(*COMMAND, "--dry-run", "--json")
    (line,) = json.loads(dry.out)["made_again"]
    assert told.partition(": version")[2] in line
    assert told in " ".join(run(*COMMAND, "--dry-run").out.split())
    assert told in " ".join(run(*COMMAND).err.split())
    assert json.loads(run(*COMMAND, "--dry-run", "--json").out)["made_again"] == []


def test_another_template_is_told_as_another_mode(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run/run.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(run(*COMMAND, "--dry-run", "--json").out)["made_again"] == []
    (tmp_path / "own").mkdir()
    template = (
        "{% block system %}Be brief.{% endblock %}{% block user %}{{ prompt }}: title and video_prompt{% endblock %}"
    )
    (tmp_path / "own/basic.j2").write_text(template, encoding="utf-8")
    rows = [{"id": str(number), "prompt": f"A cat {number}", "category": "Cats"} for number in range(3)]
    (tmp_path / "own/cats.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "own/cats.yaml").write_text(
        "task: cats\nversion: 1\ndescription: Cats\ndataset: {path: json, data_files: cats.jsonl, split: train}\n"
        "fields: {id: id, prompt: prompt, category: category}\ntemplates: {basic: basic.j2}\n",
        encoding="utf-8",
    )
    own = ["own/cats.yaml" if word == "popcorn_concrete" else "cats" if word == "run" else word for word in COMMAND]
    assert run(*own).status == 0
    (tmp_path / "own/basic.j2").write_text(template.replace("brief", "long"), encoding="utf-8")
    assert json.loads(run(*own, "--dry-run", "--json").out)["made_again"] == [
        "mode basic: another template, corpus or embedder: 6 drafts of this run are made again"
    ]
    assert content["modes"]["basic"]["fingerprints"]


def test_a_run_that_is_new_or_wants_other_prompts_is_told_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(monkeypatch, "llm", "shotlist")
    other = ["other" if word == "run" else word for word in COMMAND]
    assert json.loads(run(*other, "--dry-run", "--json").out)["made_again"] == []
    without = [word for number, word in enumerate(COMMAND) if number not in (3, 4)]
    assert json.loads(run(*without, "--dry-run", "--json").out)["made_again"] == []

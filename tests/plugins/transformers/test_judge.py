"""Judges whose model runs here: a tiny vision-language model of the real format, from its folder to the board."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import command_line
import popbench
import tiny_llms
import tiny_vlms
from command_line import Run
from judge_server import clip, marks_of, written
from made_tasks import task_file
from popbench import testing
from popbench.registry import load_registry

NAMES = {"clarity", "fit", "hook", "novelty"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlms.build(tmp_path_factory.mktemp("seer"))


@pytest.fixture
def item(tmp_path: Path) -> popbench.ScoreRequest:
    return popbench.ScoreRequest("a", "Wait for it", clip(tmp_path, "a", [0, 80, 160, 240]), prompt="A lamp")


def make(folder: Path, name: str = "local-judge", /, **options: Any) -> Any:
    given = {"model": str(folder), "frames": 2, "draws": 1, "max_new_tokens": 60, "device": "cpu", **options}
    return load_registry().resolve("predictor", written(name, given)).component


def ask(folder: Path, *items: popbench.ScoreRequest, **options: Any) -> dict[str, Any]:
    return marks_of(make(folder, **options), *items)


def test_marks_parts_and_draws_come_from_a_model_in_a_folder(folder: Path, item: popbench.ScoreRequest) -> None:
    score = ask(folder, item, draws=3)["a"]
    assert set(score.parts) == NAMES
    draws = score.extra["draws"]
    assert len(draws) == 3
    assert len({draw["score"] for draw in draws}) > 1, "each draw has a seed of its own"
    assert score.value == pytest.approx(sum(draw["score"] for draw in draws) / 3)
    assert all(0 <= mark <= 10 for draw in draws for mark in draw.values())
    assert score.usage["input"] > 0
    assert ask(folder, item, draws=3)["a"].value == score.value


def test_the_model_sees_the_frames_in_their_order(folder: Path, item: popbench.ScoreRequest, tmp_path: Path) -> None:
    back = popbench.ScoreRequest("b", item.title, clip(tmp_path, "b", [240, 160, 80, 0]), prompt=item.prompt)
    answers = ask(folder, item, back, frames=4, criteria={})
    assert answers["a"].extra != answers["b"].extra
    assert answers["a"].usage["input"] == answers["b"].usage["input"]
    fewer = ask(folder, item, frames=2, criteria={})["a"]
    assert answers["a"].usage["input"] > fewer.usage["input"], "each frame has tokens of its own"


def test_an_answer_without_marks_is_told_and_ends_a_model_that_never_gives_any(
    folder: Path, item: popbench.ScoreRequest
) -> None:
    failed = ask(folder, item, structured=False, max_new_tokens=8)["a"]
    assert (
        "no judgement in 3 answers (last: cut at the limit of tokens: allow more with max_new_tokens=" in failed.error
    )
    assert failed.usage["output"] == 24
    items = [popbench.ScoreRequest(str(number), item.title, item.path, prompt=item.prompt) for number in range(3)]
    with pytest.raises(popbench.ComponentError, match="nor for any clip before: take another model"):
        ask(folder, *items, structured=False, max_new_tokens=8)


def test_frames_beyond_the_context_are_an_error_that_names_fewer(tmp_path: Path, item: popbench.ScoreRequest) -> None:
    short = tiny_vlms.build(tmp_path / "short", context=64)
    failed = ask(short, item)["a"]
    assert "the model's context 64: the pictures are more than this model takes: show fewer (frames=)" in failed.error


def test_what_cannot_judge_is_found_before_a_run(folder: Path, tmp_path: Path) -> None:
    assert make(folder).check() == []
    (problem,) = make(tiny_llms.tiny()).check()
    assert "it takes no pictures: give a vision-language model" in problem or "its processor cannot be read" in problem
    (problem,) = make(tiny_vlms.build(tmp_path / "bare", template=None)).check()
    assert problem.endswith("it has no chat template: give one with chat_template=FILE")
    (problem,) = make(tmp_path / "absent").check()
    assert "there is no such folder" in problem


def test_the_fingerprint_has_the_weights_and_not_their_place(folder: Path, tmp_path: Path) -> None:
    same = make(folder).fingerprint()
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    assert make(copied).fingerprint() == same
    assert make(folder, device="auto").fingerprint() == same
    for change in ({"frames": 3}, {"temperature": 0.5}, {"structured": False}, {"criteria": {"a": "b"}}):
        assert make(folder, **change).fingerprint() != same
    (copied / "processor_config.json").write_text("{}", encoding="utf-8")
    assert make(copied).fingerprint() != same
    assert make(folder).label() == f"local-judge[model={folder.name},frames=2,draws=1,max_new_tokens=60]"


def test_the_judge_keeps_the_contract_of_predictors(folder: Path, tmp_path: Path) -> None:
    template = tmp_path / "other.jinja"
    template.write_text(tiny_vlms.TEMPLATE.replace("assistant", "judge"), encoding="utf-8")
    other = {"chat_template": str(template), "rubric": str(Path(__file__).parent / "../openai/other_rubric.jinja")}
    testing.check_predictor(make(folder, criteria={}, frames=1), count=2, other_options=other)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    task_file(tmp_path / "tasks", [{"id": f"p{n}", "prompt": f"Thing {n}", "category": "a"} for n in range(2)])
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def test_an_eval_runs_with_both_forms_up_to_the_board(folder: Path, run: Run) -> None:
    options = f"model={folder},frames=2,draws=1,device=cpu,max_new_tokens=60"
    words = (
        "eval", "--llm", "verbatim", "--llm", "shotlist", "--gen", "kinetic,width=64,height=64,frames=4",
        "--mode", "basic", "--task", "tasks/mine.yaml", "--out", "run",
        "--predictor", f"local-judge,{options}", "--predictor", f"local-pairs,{options}",
    )  # fmt: skip
    done = run(*words)
    assert done.status == 0, done.err
    rows = [json.loads(line) for line in Path("run/samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert all(len(row["scores"]) == 2 for row in rows)
    board = Path("run/leaderboard.md").read_text(encoding="utf-8")
    assert "is shown 2 frames of each clip, without sound" in board
    assert "is shown 2 frames of each of two clips, without sound" in board

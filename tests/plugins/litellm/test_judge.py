"""Judges behind LiteLLM itself: frames and marks at a server whose model sees, and in three providers' shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import command_line
import judge_server
import popbench
import provider_servers as providers
from command_line import Run
from judge_server import KEY, KEY_ENV, JudgeServer, chat_body, choose, clip, marks_of
from made_tasks import task_file
from openai_servers import holders
from popbench.registry import load_registry
from popbench_litellm.library import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
MODEL = "openai/gpt-4o"
USAGE_COST = (900 * 2.5 + 40 * 10) / 1e6
"""What the server's answers cost by LiteLLM's map."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    with judge_server.prepared(monkeypatch) as server:
        yield server


@pytest.fixture
def item(tmp_path: Path) -> popbench.ScoreRequest:
    path = clip(tmp_path, "clip", [40, 80, 120, 160, 200])
    return popbench.ScoreRequest("a", "Wait for it", path, prompt="A lamp")


def spec(url: str, name: str = "litellm-judge", /, **options: Any) -> str:
    values = {"model": MODEL, "api_base": url, "api_key_env": KEY_ENV, "frames": 2, "draws": 1, **options}
    return judge_server.written(name, values)


def make(url: str, name: str = "litellm-judge", /, **options: Any) -> Any:
    return load_registry().resolve("predictor", spec(url, name, **options)).component


def ask(server: JudgeServer, *items: popbench.ScoreRequest, **options: Any) -> dict[str, Any]:
    return marks_of(make(server.url, **options), *items)


def test_frames_arrive_and_marks_are_averaged(server: JudgeServer, item: popbench.ScoreRequest) -> None:
    drawn = iter([2, 6, 10])
    server.reply = lambda asked: json.dumps(dict.fromkeys((*asked.criteria, "score"), next(drawn)))
    score = ask(server, item, frames=5, draws=3)["a"]
    assert score.value == 6
    assert score.parts == dict.fromkeys(["clarity", "fit", "hook", "novelty"], 6)
    assert score.usage == {"input": 2700, "output": 120}
    assert len(server.asked) == 3
    for asked in server.asked:
        assert [round(float(picture.mean()) / 40) for picture in asked.pictures] == [1, 2, 3, 4, 5]
        assert asked.key == f"Bearer {KEY}"
        assert asked.body["response_format"]["json_schema"]["name"] == "judgement"
    assert len({asked.body["seed"] for asked in server.asked}) == 3
    assert len({asked.pictures_first for asked in server.asked}) == 2


def test_a_passing_fault_repeats_its_own_draw_alone(server: JudgeServer, item: popbench.ScoreRequest) -> None:
    busy = lambda _: (429, {"error": {"message": "busy"}})  # noqa: E731 - one of many replies
    server.first = [server.reply, busy, lambda _: (500, {"error": {"message": "oops"}}), lambda _: "no JSON"]
    score = ask(server, item, draws=2)["a"]
    assert len(score.extra["draws"]) == 2
    assert len(server.asked) == 5
    assert score.usage == {"input": 2700, "output": 120}, "what had no marks is paid for, too"


def test_a_lasting_fault_keeps_what_was_paid(server: JudgeServer, item: popbench.ScoreRequest) -> None:
    server.first = [server.reply]
    server.reply = lambda _: (503, {"error": {"message": "busy"}})
    failed = ask(server, item, draws=2, max_retries=1)["a"]
    assert not failed.invalid
    assert failed.usage == {"input": 900, "output": 40}
    assert "no answer in 2 tries" in failed.error


def test_a_clip_that_every_draw_refuses_is_invalid(server: JudgeServer, item: popbench.ScoreRequest) -> None:
    server.reply = lambda _: chat_body("", "content_filter")
    failed = ask(server, item, draws=2)["a"]
    assert (failed.invalid, failed.reason) == (True, "content filter")
    assert failed.usage == {"input": 1800, "output": 80}


def test_prices_and_doubts_come_from_the_map(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = make(server.url)
    assert judge.cost({"input": 900, "output": 40}) == pytest.approx(USAGE_COST)
    assert judge.estimate(10) == pytest.approx(10 * judge.estimate(1))
    assert judge.estimate(1) > (2000 * 2.5 + 500 * 10) / 1e6
    assert make(server.url, tokens_per_frame=2000).estimate(1) == pytest.approx(judge.estimate(1) + 2000 * 2.5 / 1e6)
    assert (judge.check(), judge.notices()) == ([], [])
    blind = make(server.url, model="openai/gpt-3.5-turbo")
    assert "LiteLLM's map does not say that openai/gpt-3.5-turbo takes pictures" in blind.notices()
    assert judge.label() == "litellm-judge[model=gpt-4o,frames=2,draws=1]"
    for change in ({"frames": 3}, {"draws": 2}, {"temperature": 0.5}, {"criteria": {"a": "b"}}):
        assert make(server.url, **change).fingerprint() != judge.fingerprint()
    assert make(server.url, concurrency=2, tokens_per_frame=5).fingerprint() == judge.fingerprint()
    monkeypatch.delenv(KEY_ENV)
    assert make(server.url).check() == [f"the key {KEY_ENV} is not set: export {KEY_ENV}=..."]
    with pytest.raises(popbench.UsageError, match="looks like a credential"):
        make(server.url, params={"api_key": KEY})


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "openai"])
def test_pictures_reach_each_provider_in_its_own_shape(
    provider: str, item: popbench.ScoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(providers.KEY_ENV, providers.KEY)
    with providers.serving() as server:
        options = {"model": f"{provider}/{providers.MODELS[provider]}", "api_key_env": providers.KEY_ENV}
        (failed,) = make(server.base(provider), **options).score(iter([item]))
    assert "no judgement in 3 answers" in failed.error, "it writes drafts"
    body = json.dumps(server.asked[provider][0])
    kind = {"anthropic": '"type": "image"', "gemini": '"inline_data"', "openai": '"type": "image_url"'}[provider]
    assert body.count(kind) == 2


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    task_file(tmp_path / "tasks", [{"id": f"p{n}", "prompt": f"Thing {n}", "category": "a"} for n in range(3)])
    return command_line.in_process(monkeypatch, capsys, tmp_path)


def test_an_eval_runs_with_both_forms_up_to_the_board_and_its_costs(server: JudgeServer, run: Run) -> None:
    server.reply = lambda asked: choose(asked) if asked.sides else json.dumps(asked.marks())
    done = run(
        "eval", "--llm", "verbatim", "--llm", "shotlist", "--gen", "kinetic,width=64,height=64,frames=4",
        "--mode", "basic", "--task", "tasks/mine.yaml", "--out", "run",
        "--predictor", spec(server.url), "--predictor", spec(server.url, "litellm-pairs"),
    )  # fmt: skip
    assert done.status == 0, done.err
    rows = [json.loads(line) for line in Path("run/samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 6
    assert len(server.asked) == 6 + 3 * 2
    costs = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["costs"]
    assert sum(row.get("cost") or 0 for row in costs) == pytest.approx(12 * USAGE_COST)
    assert not holders(KEY[:12], Path())

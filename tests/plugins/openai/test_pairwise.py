"""The judge of pairs: what it shows and asks, how a choice becomes a score, and what becomes of other answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import judge_server
import popbench
from judge_server import KEY, JudgeServer, chat_body, choose, clip, compare, make
from popbench import testing
from popbench.interfaces import balanced
from usage_errors import refusal


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    with judge_server.prepared(monkeypatch, choose) as server:
        yield server


def side(folder: Path, name: str, *levels: int) -> popbench.ScoreRequest:
    """Return what is shown of a clip with one level of grey in each frame."""
    return popbench.ScoreRequest(name, f"A {name} thing", clip(folder, name, levels), prompt="A lamp grows brighter")


@pytest.fixture
def pair(tmp_path: Path) -> popbench.CompareRequest:
    return popbench.CompareRequest("a", side(tmp_path, "dark", 20, 40, 60), side(tmp_path, "bright", 160, 180, 200))


def turned(pair: popbench.CompareRequest, id_: str = "b") -> popbench.CompareRequest:
    return replace(pair, id=id_, first=pair.second, second=pair.first)


def test_the_frames_of_both_clips_arrive_in_their_order_both_ways_round(
    server: JudgeServer, pair: popbench.CompareRequest
) -> None:
    answers = compare(server, pair, turned(pair), frames=3)
    assert {id_: answer.value for id_, answer in answers.items()} == {"a": 0.0, "b": 1.0}
    assert balanced(answers["a"].value, answers["b"].value) == 0.0
    shown = [
        [[round(float(picture.mean()) / 20) for picture in of] for of in asked.sides]
        for asked in sorted(server.asked, key=lambda asked: asked.choice)
    ]
    assert shown == [[[8, 9, 10], [1, 2, 3]], [[1, 2, 3], [8, 9, 10]]]
    titles = [[line for line in asked.text.splitlines() if line.startswith("Title of the")] for asked in server.asked]
    assert ["Title of the first video: A dark thing", "Title of the second video: A bright thing"] in titles
    assert ["Title of the first video: A bright thing", "Title of the second video: A dark thing"] in titles
    assert all("What a user had asked for: A lamp grows brighter" in asked.text for asked in server.asked)
    schema = server.asked[0].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["better"]["enum"] == ["first", "second", "neither"]
    assert len({asked.body["seed"] for asked in server.asked}) == 1, "both orders are asked alike"
    assert {asked.key for asked in server.asked} == {f"Bearer {KEY}"}


def test_draws_are_averaged_and_their_tokens_added(server: JudgeServer, pair: popbench.CompareRequest) -> None:
    drawn = iter(["first", "neither", "second", "first"])
    server.reply = lambda asked: json.dumps({"better": next(drawn)})
    score = compare(server, pair, draws=4)["a"]
    assert score.value == pytest.approx(0.625)
    assert score.usage == {"input": 3600, "output": 160}
    assert [draw["score"] for draw in score.extra["draws"]] == [1.0, 0.5, 0.0, 1.0]
    assert len({asked.body["seed"] for asked in server.asked}) == 4


def test_garbage_is_asked_again_with_another_seed_and_then_an_error(
    server: JudgeServer, pair: popbench.CompareRequest
) -> None:
    server.first = [lambda _: "Both are fine.", lambda _: '{"better": "both of them"}']
    assert compare(server, pair)["a"].value == 0.0
    assert len({asked.body["seed"] for asked in server.asked}) == 3
    server.reply = lambda _: "Hm."
    failed = compare(server, pair)["a"]
    assert isinstance(failed, popbench.Failure)
    assert not failed.invalid
    assert "no judgement in 3 answers" in failed.error
    assert failed.usage == {"input": 2700, "output": 120}


def test_a_refusal_is_invalid_and_one_of_several_draws_is_left_out(
    server: JudgeServer, pair: popbench.CompareRequest
) -> None:
    refused = chat_body(None, refusal="I would rather not.")
    server.first = [lambda _: refused]
    score = compare(server, pair, draws=2)["a"]
    assert score.value == 0.0
    assert "1 of 2 draws refused" in score.notes[0]
    server.reply = lambda _: refused
    failed = compare(server, pair)["a"]
    assert (failed.invalid, failed.usage) == (True, {"input": 900, "output": 40}), "refusals are paid for, too"


def test_busy_and_broken_servers_are_asked_again(server: JudgeServer, pair: popbench.CompareRequest) -> None:
    server.first = [lambda _: (429, {"error": {"message": "busy"}}), lambda _: (500, "oops"), lambda _: (200, '{"cho')]
    assert compare(server, pair)["a"].value == 0.0


def test_a_broken_clip_fails_its_pair_alone(server: JudgeServer, pair: popbench.CompareRequest, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = replace(pair, id="broken", second=replace(pair.second, path=tmp_path / "broken.mp4"))
    answers = compare(server, broken, pair)
    assert isinstance(answers["broken"], popbench.Failure)
    assert answers["a"].value == 0.0


def test_a_rubric_of_one_s_own_says_what_the_judge_sees(
    server: JudgeServer, pair: popbench.CompareRequest, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ frames }} frames each, for {{ category }}: {{ first_title }} or {{ second_title }}?")
    judge = make(server, "judge-pairwise", rubric=str(file))
    assert judge.uses == {"video", "category", "title"}
    assert judge.label() == "judge-pairwise[model=seer,frames=2,rubric=mine.jinja]"
    asked = replace(pair, first=replace(pair.first, category="Pets"), second=replace(pair.second, category="Pets"))
    compare(server, asked, rubric=str(file))
    assert server.asked[0].text.startswith("2 frames each, for Pets: A dark thing or A bright thing?\n\nAnswer with")
    file.write_text("{{ title }}")
    assert "title" in refusal(lambda: make(server, "judge-pairwise", rubric=str(file)))


def test_options_that_change_no_answer_are_in_no_fingerprint(server: JudgeServer) -> None:
    one = make(server, "judge-pairwise")
    other = make(server, "judge-pairwise", opponents=3, price_in=1, price_out=1, concurrency=2)
    assert one.fingerprint() == other.fingerprint()
    assert (one.opponents, other.opponents) == (None, 3)
    assert one.fingerprint()["name"] == "popbench_openai.PairwiseJudge"
    assert one.fingerprint() != make(server, "judge-pairwise", draws=2).fingerprint()


def test_an_estimate_counts_the_frames_of_both_clips(server: JudgeServer) -> None:
    prices = {"price_in": 2, "price_out": 8}
    few, many = (make(server, "judge-pairwise", frames=frames, **prices).estimate(10) for frames in (2, 3))
    assert many - few == pytest.approx(10 * 2 * 1000 * 2 / 1e6)
    assert make(server, "judge-pairwise").estimate(10) is None


def test_it_keeps_every_rule_of_the_kit(server: JudgeServer) -> None:
    others = {"rubric": str(Path(__file__).with_name("other_pair_rubric.jinja")), "model": "other"}
    report = testing.check_predictor(judge_server.spec(server, "judge-pairwise"), count=2, other_options=others)
    assert report.ok

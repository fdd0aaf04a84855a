"""Video generators behind the protocol's jobs: `videos,model=ID,base_url=URL`, asked through the real SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import openai_servers
import popbench
from popbench import testing
from popbench.records import Clip, Submitted
from video_renders import KEY, KEY_ENV, Planned, Run, answers, errors_of, first_word, make, request, spec

# -- a whole run


def test_a_run_goes_from_prompts_to_a_board_and_states_what_it_cost(render: Run, api: Planned) -> None:
    api.plan(render=0.1, spread=3)
    made = render(options={"price_per_second": 0.25, "size": "64x48"})
    assert made.complete
    jobs = api.jobs()
    assert len(jobs) == len({job["key"] for job in jobs}) == 6
    costs = json.loads((made.path / "results.json").read_text())["costs"]
    assert {row.get("generator"): row["cost"] for row in costs}["tiny/wan[seconds=2,size=64x48]"] == 6 * 2 * 0.25
    assert "tiny/wan" in (made.path / "leaderboard.md").read_text()
    assert render(options={"price_per_second": 0.25, "size": "64x48"}).complete
    assert len(api.jobs()) == 6


@pytest.mark.parametrize("body", ["form", "json"])
def test_requests_hold_the_fields_of_the_protocol(api: Planned, body: str) -> None:
    api.plan(**{"json" if body == "form" else "form": False})
    extra = '{"guidance_scale":5.5,"extra_params":{"a":[1]},"negative_prompt":"text"}'
    found = answers(api, request(), body=body, size="64x48", extra_body=extra)
    assert [type(answer) for answer in found] == [Submitted, Clip]
    nested, seed, scale = ({"a": [1]}, 7, 5.5) if body == "json" else ('{"a": [1]}', "7", "5.5")
    (job,) = api.jobs()
    assert job["fields"] == {"model": "tiny/wan", "prompt": "A cat", "seconds": "2", "size": "64x48", "seed": seed,
                             "guidance_scale": scale, "extra_params": nested, "negative_prompt": "text"}  # fmt: skip
    assert job["form"] == (body == "form")
    assert job["key"] == "key-one"


def test_what_is_not_given_is_not_sent(api: Planned) -> None:
    answers(api, request(), seconds=None, seed=False)
    assert set(api.jobs()[0]["fields"]) == {"model", "prompt"}


def test_the_seconds_that_the_server_made_are_those_with_a_price(api: Planned) -> None:
    api.plan(made="3.5")
    assert answers(api, request())[-1].usage == {"video_seconds": 3.5}  # type: ignore[union-attr]
    for told in ("unknown", "1e300", "nan"):
        api.plan(made=told)
        assert answers(api, request(told))[-1].usage == {"video_seconds": 2}  # type: ignore[union-attr]


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit(api: Planned) -> None:
    report = testing.check_generator(spec(api, poll=0.01, price_per_second=0.1), other_options={"size": "32x32"})
    assert "job" in report.rules


def test_without_a_seed_it_is_not_repeatable(api: Planned) -> None:
    assert make(api).repeatable
    assert not make(api, seed=False).repeatable


def test_the_server_and_all_that_is_asked_are_in_the_fingerprint(api: Planned) -> None:
    print_ = make(api).fingerprint()
    assert print_["server"] == api.url
    assert make(api, provider="mine").fingerprint()["server"] == "mine"
    assert make(api, poll=9, price_per_second=1, concurrency=2, api_key_env="").fingerprint() == print_
    assert make(api, size="32x32").fingerprint() != print_ != make(api, extra_body='{"fps":8}').fingerprint()
    assert make(api, size="32x32").label() == "tiny/wan[seconds=2,size=32x32]"


# -- costs and keys


def test_a_budget_is_never_passed(render: Run, api: Planned) -> None:
    api.plan(render=0.05)
    priced = {"price_per_second": 0.5}
    ended = render(options=priced, max_cost=3.2)
    assert len(api.jobs()) == 3
    assert not ended.complete
    assert render(options=priced, max_cost=6).complete
    assert len(api.jobs()) == 6


def test_an_estimate_needs_price_and_seconds(api: Planned) -> None:
    assert make(api, price_per_second=0.5).estimate(3) == 3
    assert make(api).estimate(3) is None
    assert make(api, price_per_second=0.5, seconds=None).estimate(3) is None
    assert make(api).cost({"video_seconds": 2}) is None


def test_a_key_that_the_server_repeats_is_in_no_file(render: Run, api: Planned, tmp_path: Path) -> None:
    api.plan(echo=True, fail=first_word(render))
    assert "[key] of no use" in errors_of(render())
    api.plan(echo=True, required=["fps"])
    assert "[key]" in errors_of(render(out="rejected"))
    assert not openai_servers.holders(KEY[:12], tmp_path)


def test_a_missing_key_is_told_before_any_work(api: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(api).check() == []
    assert make(api, api_key_env=None).check() == []
    monkeypatch.setenv(KEY_ENV, "a\nb")
    assert "what no key does" in make(api).check()[0]
    monkeypatch.delenv(KEY_ENV)
    assert make(api).check() == [
        f"the key {KEY_ENV} is not set: export {KEY_ENV}=..., or leave api_key_env out if it needs none"
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"base_url": "http://me:secret@127.0.0.1/v1"}, "base_url"),
        ({"base_url": "127.0.0.1:8000"}, "base_url is no URL"),
        ({"base_url": None}, "base_url"),
        ({"size": "720p"}, "size"),
        ({"seconds": 0}, "seconds"),
        ({"api_key_env": "sk-no-variable"}, "api_key_env"),
        ({"extra_body": '{"size":"1x1"}'}, "extra_body cannot hold size"),
        ({"extra_body": f'{{"token":"{KEY}"}}'}, "looks like a credential"),
    ],
)
def test_an_option_of_no_use_is_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(popbench.UsageError) as raised:
        make("http://127.0.0.1:8000/v1", **options)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert KEY not in str(raised.value)

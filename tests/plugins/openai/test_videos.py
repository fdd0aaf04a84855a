"""Video generators behind the protocol's jobs: `videos,model=ID,base_url=URL`, asked through the real SDK."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import openai_servers
import popbench
import popbench_runs
import video_api
from popbench import testing
from popbench.engines import pacing
from popbench.records import Clip, Failure, Submitted, VideoRequest
from popbench.registry import load_registry
from popbench_openai import video_jobs
from video_api import VideoApi

KEY, KEY_ENV = openai_servers.KEY, openai_servers.KEY_ENV
Run = Callable[..., popbench.Run]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoApi]:
    with video_api.serving(tmp_path_factory.mktemp("api"), "videos_server.py") as api:
        yield api


class Planned:
    """The server, whose plans all take the key."""

    def __init__(self, server: VideoApi) -> None:
        self.server, self.url = server, server.url
        self.jobs, self.asked, self.forget, self.finish = server.jobs, server.asked, server.forget, server.finish

    def plan(self, **plan: Any) -> None:
        self.server.plan(**{"key": KEY, **plan})


@pytest.fixture
def api(server: VideoApi, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv(KEY_ENV, KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    planned = Planned(server)
    planned.plan()
    planned.forget()
    return planned


def spec(api: Planned | str, **options: Any) -> str:
    url = api if isinstance(api, str) else api.url
    given = {"model": "tiny/wan", "base_url": url, "api_key_env": KEY_ENV, "seconds": 2, "poll": 0.02, **options}
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    return ",".join(["videos", *(f"{name}={value}" for name, value in shown.items() if value is not None)])


def make(api: Planned | str, **options: Any) -> popbench.VideoGenerator:
    component = load_registry().resolve("generator", spec(api, **options)).component
    assert isinstance(component, popbench.VideoGenerator)
    return component


def answers(api: Planned, *requests: VideoRequest, **options: Any) -> list[Clip | Failure | Submitted]:
    return list(make(api, **options).generate(requests))


def request(id_: str = "one", prompt: str = "A cat", **more: Any) -> VideoRequest:
    return VideoRequest(id_, prompt, 7, **{"key": f"key-{id_}", **more})


@pytest.fixture
def run(api: Planned, tmp_path: Path) -> Run:
    """Make six clips, or go on with that."""

    def run(out: str = "run", options: Mapping[str, Any] | None = None, **more: Any) -> popbench.Run:
        given = {"llm": "verbatim", "predictor": "demo", "limit": 6, **more}
        return popbench_runs.run_fast(tmp_path / out, gen=[spec(api, **(options or {}))], **given)

    return run


def at_work(out: Path) -> int:
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        count = ledger.execute("SELECT count(*) FROM jobs WHERE job IS NOT NULL").fetchone()[0]
    ledger.close()
    return int(count)


def first_word(run: Run) -> str:
    return next(iter(run(stop_after="write").samples())).prompt.split()[0]


def errors_of(run: popbench.Run) -> str:
    return " ".join(sample.error or "" for sample in run.samples())


# -- a whole run


def test_a_run_goes_from_prompts_to_a_board_and_states_what_it_cost(run: Run, api: Planned) -> None:
    api.plan(render=0.1, spread=3)
    made = run(options={"price_per_second": 0.25, "size": "64x48"})
    assert made.complete
    jobs = api.jobs()
    assert len(jobs) == len({job["key"] for job in jobs}) == 6
    costs = json.loads((made.path / "results.json").read_text())["costs"]
    assert {row.get("generator"): row["cost"] for row in costs}["tiny/wan[seconds=2,size=64x48]"] == 6 * 2 * 0.25
    assert "tiny/wan" in (made.path / "leaderboard.md").read_text()
    assert run(options={"price_per_second": 0.25, "size": "64x48"}).complete
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
    api.plan(made="unknown")
    assert answers(api, request("two"))[-1].usage == {"video_seconds": 2}  # type: ignore[union-attr]


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


# -- what servers do


@pytest.mark.parametrize("loaded", [False, True])
def test_a_full_queue_is_waited_for_as_long_as_it_asks(run: Run, api: Planned, loaded: bool) -> None:
    api.plan(render=0.05, capacity=2, retry_after=1, loaded=loaded)
    started = time.monotonic()
    assert run(limit=3, options={"max_retries": 0}).complete
    assert time.monotonic() - started > 1
    assert len(api.jobs()) == 3
    assert api.asked().count("POST /v1/videos") > 3


def test_a_failed_job_is_an_error_with_its_reason_and_is_asked_anew(run: Run, api: Planned) -> None:
    api.plan(fail=first_word(run))
    failed = run()
    assert failed.errors > 0
    assert "failed: the worker ran out of memory" in errors_of(failed)
    assert at_work(failed.path) == 0
    api.plan()
    assert run().complete
    assert len(api.jobs()) == 6 + failed.errors


@pytest.mark.parametrize("plan", ["refuse", "block"])
def test_a_refusal_is_invalid_whether_there_was_a_job_or_not(run: Run, api: Planned, plan: str) -> None:
    api.plan(**{plan: first_word(run)})
    made = run()
    refused = [sample for sample in made.samples() if sample.status == "invalid"]
    assert refused
    assert made.errors == 0
    with sqlite3.connect(made.path / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT payload FROM calls WHERE stage = 'render' AND status = 'invalid'").fetchall()
    ledger.close()
    assert {json.loads(payload)["reason"] for (payload,) in rows} == {"refusal"}
    assert run().errors == 0
    assert len(api.jobs()) == (6 if plan == "refuse" else 6 - len(refused))


def test_a_cut_download_is_fetched_again(run: Run, api: Planned) -> None:
    api.plan(cut=3)
    assert run().complete
    assert len(api.jobs()) == 6


def test_a_clip_that_lies_elsewhere_is_fetched_without_the_key(run: Run, api: Planned) -> None:
    api.plan(redirect=True)
    assert run(limit=1).complete


def test_a_job_is_kept_where_the_storage_refuses_its_clip(run: Run, api: Planned) -> None:
    api.plan(redirect=True, until=-1)
    refused = run(limit=1)
    assert "403" in errors_of(refused)
    assert at_work(refused.path) == 1
    api.plan()
    assert run(limit=1).complete
    assert len(api.jobs()) == 1


def test_a_creation_whose_answer_is_lost_is_repeated_under_its_key(run: Run, api: Planned) -> None:
    api.plan(lost=3)
    assert run(limit=3).complete
    assert len(api.jobs()) == 3
    api.plan(lost=1)
    assert run(limit=1, out="one", seed=3, options={"max_retries": 0}).errors == 1


def test_a_clip_that_is_late_is_looked_for_and_one_that_is_gone_ends_its_job(api: Planned) -> None:
    api.plan(unlinked=video_jobs.LOOKS_FOR_CLIP - 1)
    assert isinstance(answers(api, request())[-1], Clip)
    api.plan(unlinked=video_jobs.LOOKS_FOR_CLIP)
    gone = answers(api, request("two"))[-1]
    assert isinstance(gone, Failure)
    assert "the clip of job job-1 is not there any more" in gone.error
    assert not gone.keeps_job


def test_a_status_that_is_unknown_keeps_the_job(api: Planned) -> None:
    api.plan(words="dreaming")
    failed = answers(api, request())[-1]
    assert isinstance(failed, Failure)
    assert "'dreaming'" in failed.error
    assert failed.keeps_job


def test_what_the_server_always_rejects_ends_the_generator_and_says_what_to_change(run: Run, api: Planned) -> None:
    api.plan(form=False)
    ended = run()
    assert ended.errors == 6
    assert "400 input_reference file is required: try body=json" in errors_of(ended)
    assert api.asked().count("POST /v1/videos") < 6 + 1
    api.plan(required=["fps"])
    assert "fps is needed: check seconds=, size= and extra_body= against its API" in errors_of(run())
    assert api.jobs() == []


def test_a_broken_server_is_asked_some_times_and_no_more(run: Run, api: Planned) -> None:
    api.plan(replies={"POST": [500, {"error": {"message": "no worker"}}]})
    ended = run(limit=1, options={"max_retries": 1})
    assert "500 no worker" in errors_of(ended)
    assert api.asked().count("POST /v1/videos") == 2


def test_an_address_where_nothing_listens_ends_the_generator(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_jobs, "FIRST_CONTACT", 0)
    ended = run(options={"base_url": "http://127.0.0.1:9/v1"})
    assert "Connection refused" in errors_of(ended)
    assert "check that it runs, and base_url=" in errors_of(ended)


def test_a_wrong_path_and_a_server_of_another_kind_end_the_generator(run: Run, api: Planned) -> None:
    assert "404 Not Found: check model= and base_url=" in errors_of(run(options={"base_url": api.url + "/v1"}))
    api.plan(replies={"POST": [200, {"created": 1}]})
    assert "answered without the id of a job: check base_url=" in errors_of(run())


# -- jobs that outlive a run


def stop(run: Run, api: Planned, **more: Any) -> popbench.Run:
    """Submit all jobs, and end the generator before any is finished: the server does not take its key any more."""
    api.plan(render=1000, replies={"GET": [401, {"error": {"message": "unknown key"}}]})
    stopped = run(**more)
    assert stopped.errors == at_work(stopped.path) == 6
    return stopped


def test_another_command_asks_for_the_jobs_and_creates_none(run: Run, api: Planned) -> None:
    assert f"check the key in {KEY_ENV}" in errors_of(stop(run, api))
    api.plan(down=["POST"], finish=True)
    assert run().complete
    assert len(api.jobs()) == 6


@pytest.mark.parametrize("plan", [{}, {"terse": True}])
def test_jobs_that_are_gone_are_asked_anew(run: Run, api: Planned, plan: dict[str, Any]) -> None:
    stop(run, api)
    api.forget()
    api.plan(**plan)
    assert run().complete
    assert len(api.jobs()) == 6


def test_jobs_are_kept_where_the_address_does_not_know_of_videos(run: Run, api: Planned) -> None:
    moved = {"provider": "mine"}
    stop(run, api, options=moved)
    api.plan(finish=True)
    wrong = run(options={**moved, "base_url": api.url + "/else"})
    assert wrong.errors == at_work(wrong.path) == 6
    assert run(options=moved).complete
    assert len(api.jobs()) == 6


def test_a_job_that_no_server_gave_is_over(api: Planned) -> None:
    for job in ({"id": "x"}, "..", ""):
        (failed,) = answers(api, request(job=job))
        assert isinstance(failed, Failure)
        assert "no id of this protocol" in failed.error


def start(api: Planned, folder: Path, *more: str) -> Any:
    command = ["eval", "--llm", "verbatim", "--mode", "basic", "--task", "popcorn_concrete", "--predictor", "demo",
               "--corpus", "demo", "--gen", spec(api), "--limit", "12", "--out", "run", *more]  # fmt: skip
    return video_api.start(folder / "none", folder, *command)


@pytest.mark.slow
def test_a_killed_run_pays_for_no_clip_twice(api: Planned, tmp_path: Path) -> None:
    """The server replies late, so that kills hit the time between the acceptance of a job and its commit."""
    api.plan(render=1e9, slow_reply=0.3)
    for count in (3, 20, 45):
        until = len(api.asked()) + count
        process = start(api, tmp_path)
        while process.poll() is None and len(api.asked()) < until:
            time.sleep(0.005)
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        api.finish(2)
    assert at_work(tmp_path / "run") > 0
    api.plan(finish=True)
    process = start(api, tmp_path)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert KEY not in out + errors
    assert len(api.jobs()) == len({job["prompt"] for job in api.jobs()}) == 12


# -- costs and keys


def test_a_budget_is_never_passed(run: Run, api: Planned) -> None:
    api.plan(render=0.05)
    priced = {"price_per_second": 0.5}
    ended = run(options=priced, max_cost=3.2)
    assert len(api.jobs()) == 3
    assert not ended.complete
    assert run(options=priced, max_cost=6).complete
    assert len(api.jobs()) == 6


def test_an_estimate_needs_price_and_seconds(api: Planned) -> None:
    assert make(api, price_per_second=0.5).estimate(3) == 3
    assert make(api).estimate(3) is None
    assert make(api, price_per_second=0.5, seconds=None).estimate(3) is None
    assert make(api).cost({"video_seconds": 2}) is None


def test_a_key_that_the_server_repeats_is_in_no_file(run: Run, api: Planned, tmp_path: Path) -> None:
    api.plan(echo=True, fail=first_word(run))
    assert "[key] of no use" in errors_of(run())
    api.plan(echo=True, required=["fps"])
    assert "[key]" in errors_of(run(out="rejected"))
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

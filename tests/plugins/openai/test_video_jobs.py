"""What follows from what a video server answers; jobs that outlive a run are asked about, and no clip is paid twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import popbench
import video_api
from popbench.records import Clip, Failure
from popbench_openai import video_jobs
from video_renders import KEY, KEY_ENV, Planned, Run, answers, at_work, errors_of, first_word, request, spec

# -- what servers do


@pytest.mark.parametrize("loaded", [False, True])
def test_a_full_queue_is_waited_for_as_long_as_it_asks(render: Run, api: Planned, loaded: bool) -> None:
    api.plan(render=0.05, capacity=2, retry_after=1, loaded=loaded)
    started = time.monotonic()
    assert render(limit=3, options={"max_retries": 0}).complete
    assert time.monotonic() - started > 1
    assert len(api.jobs()) == 3
    assert api.asked().count("POST /v1/videos") > 3


def test_a_failed_job_is_an_error_with_its_reason_and_is_asked_anew(render: Run, api: Planned) -> None:
    api.plan(fail=first_word(render))
    failed = render()
    assert failed.errors > 0
    assert "failed: the worker ran out of memory" in errors_of(failed)
    assert at_work(failed.path) == 0
    api.plan()
    assert render().complete
    assert len(api.jobs()) == 6 + failed.errors


@pytest.mark.parametrize("plan", ["refuse", "block"])
def test_a_refusal_is_invalid_whether_there_was_a_job_or_not(render: Run, api: Planned, plan: str) -> None:
    api.plan(**{plan: first_word(render)})
    made = render()
    refused = [sample for sample in made.samples() if sample.status == "invalid"]
    assert refused
    assert made.errors == 0
    with sqlite3.connect(made.path / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT payload FROM calls WHERE stage = 'render' AND status = 'invalid'").fetchall()
    ledger.close()
    assert {json.loads(payload)["reason"] for (payload,) in rows} == {"refusal"}
    assert render().errors == 0
    assert len(api.jobs()) == (6 if plan == "refuse" else 6 - len(refused))


def test_a_cut_download_is_fetched_again(render: Run, api: Planned) -> None:
    api.plan(cut=3)
    assert render().complete
    assert len(api.jobs()) == 6


def test_a_clip_that_lies_elsewhere_is_fetched_without_the_key(render: Run, api: Planned) -> None:
    api.plan(redirect=True)
    assert render(limit=1).complete


def test_a_job_is_kept_where_the_storage_refuses_its_clip(render: Run, api: Planned) -> None:
    api.plan(redirect=True, until=-1)
    refused = render(limit=1)
    assert "403" in errors_of(refused)
    assert at_work(refused.path) == 1
    api.plan()
    assert render(limit=1).complete
    assert len(api.jobs()) == 1


def test_a_creation_whose_answer_is_lost_is_repeated_under_its_key(render: Run, api: Planned) -> None:
    api.plan(lost=3)
    assert render(limit=3).complete
    assert len(api.jobs()) == 3
    api.plan(lost=1)
    assert render(limit=1, out="one", seed=3, options={"max_retries": 0}).errors == 1


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


@pytest.mark.parametrize("body", [None, [], "queued", {}, {"id": "job-0", "status": 7}, {"error": "sorry"}])
def test_an_answer_that_says_nothing_of_the_job_keeps_it(api: Planned, body: Any) -> None:
    api.plan(replies={"GET": [200, body]})
    (failed,) = answers(api, request(job="job-0"), retry_seconds=0)
    assert isinstance(failed, Failure)
    assert failed.keeps_job


def test_what_the_server_always_rejects_ends_the_generator_and_says_what_to_change(render: Run, api: Planned) -> None:
    api.plan(form=False)
    ended = render()
    assert ended.errors == 6
    assert "400 input_reference file is required: try body=json" in errors_of(ended)
    assert api.asked().count("POST /v1/videos") < 6 + 1
    api.plan(required=["fps"])
    assert "fps is needed: check seconds=, size= and extra_body= against its API" in errors_of(render())
    assert api.jobs() == []


def test_a_broken_server_is_asked_some_times_and_no_more(render: Run, api: Planned) -> None:
    api.plan(replies={"POST": [500, {"error": {"message": "no worker"}}]})
    ended = render(limit=1, options={"max_retries": 1})
    assert "500 no worker" in errors_of(ended)
    assert api.asked().count("POST /v1/videos") == 2


def test_an_address_where_nothing_listens_ends_the_generator(render: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_jobs, "FIRST_CONTACT", 0)
    ended = render(options={"base_url": "http://127.0.0.1:9/v1"})
    assert "Connection refused" in errors_of(ended)
    assert "check that it runs, and base_url=" in errors_of(ended)


def test_a_wrong_path_and_a_server_of_another_kind_end_the_generator(render: Run, api: Planned) -> None:
    assert "404 Not Found: check model= and base_url=" in errors_of(render(options={"base_url": api.url + "/v1"}))
    api.plan(replies={"POST": [200, {"created": 1}]})
    assert "answered without the id of a job: check base_url=" in errors_of(render())


# -- jobs that outlive a run


def stop(render: Run, api: Planned, **more: Any) -> popbench.Run:
    """Submit all jobs, and end the generator before any is finished: the server does not take its key any more."""
    api.plan(render=1000, replies={"GET": [401, {"error": {"message": "unknown key"}}]})
    stopped = render(**more)
    assert stopped.errors == at_work(stopped.path) == 6
    return stopped


def test_another_command_asks_for_the_jobs_and_creates_none(render: Run, api: Planned) -> None:
    assert f"check the key in {KEY_ENV}" in errors_of(stop(render, api))
    api.plan(down=["POST"], finish=True)
    assert render().complete
    assert len(api.jobs()) == 6


@pytest.mark.parametrize("plan", [{}, {"terse": True}])
def test_jobs_that_are_gone_are_asked_anew(render: Run, api: Planned, plan: dict[str, Any]) -> None:
    stop(render, api)
    api.forget()
    api.plan(**plan)
    assert render().complete
    assert len(api.jobs()) == 6


def test_jobs_are_kept_where_the_address_does_not_know_of_videos(render: Run, api: Planned) -> None:
    moved = {"provider": "mine"}
    stop(render, api, options=moved)
    api.plan(finish=True)
    wrong = render(options={**moved, "base_url": api.url + "/else"})
    assert wrong.errors == at_work(wrong.path) == 6
    assert render(options=moved).complete
    assert len(api.jobs()) == 6


def test_a_job_that_no_server_gave_is_over(api: Planned) -> None:
    for job in ({"id": "x"}, "..", ""):
        (failed,) = answers(api, request(job=job))
        assert isinstance(failed, Failure)
        assert "no id of this protocol" in failed.error
    (failed,) = answers(api, request(job="video_" + "a" * 200))
    assert isinstance(failed, Failure)
    assert len(failed.error) < 150


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

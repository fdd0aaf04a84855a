"""What follows from what a provider answers through LiteLLM; jobs outlive a run, and no clip is paid twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import popbench
import video_api
from litellm_videos import KEY, MODELS, Providers, answers, failure, first_word, make, request, spec
from popbench.records import Clip, Submitted
from popbench_litellm import library, video_jobs
from video_renders import Run, at_work, errors_of

pytestmark = pytest.mark.skipif(bool(library.missing()), reason=library.missing())
ALL = pytest.mark.parametrize("provider", MODELS)


def submitted(api: Providers, provider: str) -> Any:
    """Have a job created by one generator, and return what another one needs to ask about it."""
    api.plan(render=1000, replies={"GET": [401, {"error": {"message": "unknown key"}}]})
    (job,) = [job for job in taken(api, provider) if isinstance(job, Submitted)]
    api.plan(finish=True)
    return json.loads(json.dumps(job.job))


def taken(api: Providers, provider: str) -> list[Any]:
    """Return what a generator yields until it raises."""
    found: list[Any] = []
    with pytest.raises(popbench.ComponentError):
        found.extend(make(api, provider).generate([request()]))
    return found


# -- what providers do


@ALL
def test_a_full_queue_is_waited_for_as_long_as_it_asks(provider: str, render: Run, api: Providers) -> None:
    api.plan(render=0.5, capacity=2, retry_after=1)
    started = time.monotonic()
    assert render(provider, limit=3, options={"max_retries": 0}).complete
    assert time.monotonic() - started > 1
    assert len(api.jobs()) == 3


@ALL
def test_a_failed_job_is_an_error_with_its_reason_and_is_asked_anew(provider: str, render: Run, api: Providers) -> None:
    api.plan(fail=first_word(render))
    failed = render(provider)
    assert failed.errors > 0
    assert f"{MODELS[provider]}: the job failed: the worker ran out of memory" in errors_of(failed)
    assert at_work(failed.path) == 0
    api.plan()
    assert render(provider).complete
    assert len(api.jobs()) == 6 + failed.errors


@ALL
@pytest.mark.parametrize("plan", ["refuse", "block"])
def test_a_refusal_is_invalid_whether_there_was_a_job_or_not(
    plan: str, provider: str, render: Run, api: Providers
) -> None:
    api.plan(**{plan: first_word(render)})
    made = render(provider)
    refused = [sample for sample in made.samples() if sample.status == "invalid"]
    assert refused
    assert made.errors == 0, errors_of(made)
    with sqlite3.connect(made.path / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT payload FROM calls WHERE stage = 'render' AND status = 'invalid'").fetchall()
    ledger.close()
    assert {json.loads(payload)["reason"] for (payload,) in rows} == {"content filter"}
    assert render(provider).errors == 0
    assert len(api.jobs()) == (6 if plan == "refuse" else 6 - len(refused))


def test_google_s_words_for_a_video_that_a_filter_kept_are_told(api: Providers) -> None:
    api.plan(refuse="A")
    failed = failure(api, "veo", request())
    assert failed.error == "gemini/veo-3.1-generate-001: refused: the request breaks the rules of use"
    assert failed.usage is None


def test_an_account_that_fal_locks_ends_the_generator_and_keeps_its_jobs(render: Run, api: Providers) -> None:
    api.plan(locked=True)
    ended = render("fal")
    assert "User is locked. Reason: Exhausted balance" in errors_of(ended)
    assert "check the key and the account" in errors_of(ended)
    assert at_work(ended.path) == 6
    api.plan()
    assert render("fal").complete
    assert len(api.jobs()) == 6


@ALL
def test_an_answer_that_is_lost_is_an_error_and_no_second_job(provider: str, api: Providers) -> None:
    api.plan(lost=1)
    failed = failure(api, provider, request())
    assert "a job may have been created, so no other one is now" in failed.error
    assert len(api.jobs()) == 1


@ALL
def test_an_answer_in_another_shape_creates_one_job_and_no_second_one(provider: str, api: Providers) -> None:
    api.plan(odd=True)
    if provider == "dashscope":  # LiteLLM reads it as a rejection
        assert "video request failed" in failure(api, provider, request()).error
    else:
        with pytest.raises(popbench.ComponentError, match="check api_base="):
            answers(api, provider, request())
    assert len(api.jobs()) == 1


def test_an_answer_that_litellm_takes_for_a_full_queue_by_its_words_creates_no_second_job(api: Providers) -> None:
    api.plan(replies={"POST": [200, {"task": {"uuid": "429 rate limit"}}]})
    with pytest.raises(popbench.ComponentError, match="check api_base="):
        answers(api, "veo", request())
    assert len(api.asked()) == 1


def test_a_gateway_that_waits_in_vain_is_asked_for_no_second_job(api: Providers) -> None:
    api.plan(replies={"POST": [504, {"error": "Gateway Timeout"}]})
    assert "a job may have been created, so no other one is now" in failure(api, "runway", request()).error
    assert len(api.asked()) == 1


def test_a_broken_provider_is_asked_some_times_and_no_more(api: Providers) -> None:
    api.plan(broke=2)
    assert isinstance(answers(api, "runway", request(), max_retries=2)[-1], Clip)
    api.plan(broke=3)
    assert failure(api, "runway", request("two"), max_retries=1).error == "runwayml/gen4.5: no worker"
    assert api.asked().count("POST /v1/text_to_video") == 3 + 2


@pytest.mark.parametrize("provider", ["fal", "runway", "dashscope", "minimax"])
def test_a_clip_that_the_storage_does_not_hand_out_keeps_its_job(provider: str, render: Run, api: Providers) -> None:
    api.plan(withheld=True)
    refused = render(provider, limit=1)
    assert "the clip of a finished job is not handed out" in errors_of(refused)
    assert "?until=" not in errors_of(refused), "a link holds a key"
    assert at_work(refused.path) == 1
    api.plan()
    assert render(provider, limit=1).complete
    assert len(api.jobs()) == 1


def test_a_cut_download_and_a_link_that_has_expired_are_fetched_again(render: Run, api: Providers) -> None:
    api.plan(cut=2, until=-1)
    assert render("runway").complete
    assert len(api.jobs()) == 6


def test_a_file_that_is_no_video_is_fetched_again_by_the_same_command(render: Run, api: Providers) -> None:
    api.plan(broken=1)
    assert render("fal", limit=1).errors == 1
    assert render("fal", limit=1).complete
    assert len(api.jobs()) == 1


def test_an_address_where_nothing_listens_ends_the_generator(render: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_jobs, "FIRST_CONTACT", 0)
    ended = render("veo", options={"api_base": "http://127.0.0.1:9"})
    assert "connection failed (Connection refused): check the network, and api_base=" in errors_of(ended)


def test_a_wrong_address_ends_the_generator(render: Run, api: Providers) -> None:
    assert "Not Found: check model= and api_base=" in errors_of(render("veo", options={"api_base": api.root + "/else"}))


def test_a_provider_that_does_not_answer_in_time_is_asked_for_no_second_job(api: Providers) -> None:
    api.plan(slow_reply=1.5)
    failed = failure(api, "runway", request(), timeout=0.5)
    assert "no answer within timeout=0.5 s: a job may have been created" in failed.error
    assert len(api.jobs()) == 1


@pytest.fixture
def another() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve another host, and note the headers of the requests that it is sent."""
    sent: list[dict[str, str]] = []

    class Noting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"name": "models/m/operations/o"}')

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Noting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("provider", ["veo", "fal", "runway"])
def test_a_provider_that_moves_to_another_host_ends_the_generator_and_that_host_is_sent_no_key(
    provider: str, method: str, api: Providers, another: tuple[str, list[dict[str, str]]]
) -> None:
    host, sent = another
    api.plan(replies={method: [307, {}, {"Location": f"{host}/x?{KEY}"}]})
    with pytest.raises(popbench.ComponentError) as ended:
        answers(api, provider, request())
    assert str(ended.value) == f"{MODELS[provider]}: moved to {host}: set api_base= to where it is now"
    assert not sent
    assert len(api.jobs()) == (method == "GET")


def test_a_host_that_clips_lie_with_is_sent_no_key(api: Providers, another: tuple[str, list[dict[str, str]]]) -> None:
    host, sent = another
    api.plan(elsewhere=host)
    assert isinstance(answers(api, "veo", request())[-1], Clip)
    assert len(sent) == 1
    assert KEY not in str(sent)


def test_what_a_provider_always_rejects_ends_the_generator(render: Run, api: Providers) -> None:
    api.plan(replies={"POST": [422, {"detail": [{"loc": ["body"], "msg": "fps is needed", "type": "missing"}]}]})
    assert "fps is needed: check the options (seconds, size, seed=false, params)" in errors_of(render("fal"))
    assert len(api.asked()) < 6 + 1


def test_a_download_stops_no_other_job(api: Providers, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM looks for the link of Veo's file synchronously, in its asynchronous function as well."""
    client, threads = library.library().module_level_client, []
    get = client.get

    def noted(*args: Any, **given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return get(*args, **given)

    monkeypatch.setattr(client, "get", noted)
    assert isinstance(answers(api, "veo", request())[-1], Clip)
    assert threads == ["popbench-download"]


# -- jobs that outlive a run


@ALL
def test_another_process_asks_for_a_job_by_what_was_stored_and_creates_none(provider: str, api: Providers) -> None:
    job = submitted(api, provider)
    assert set(job) == {"id", "seconds"}
    api.plan(down=["POST"], finish=True)
    (clip,) = answers(api, provider, request(job=job))
    assert isinstance(clip, Clip)
    assert clip.usage == {"video_seconds": 4}
    assert len(api.jobs()) == 1


@ALL
def test_a_job_that_is_gone_is_over_and_a_wrong_address_is_told(provider: str, api: Providers) -> None:
    job = submitted(api, provider)
    api.forget()
    gone = failure(api, provider, request(job=job))
    assert "the job is not there any more" in gone.error
    assert not gone.keeps_job
    if provider not in ("dashscope", "minimax"):
        api.plan(terse=True)
        with pytest.raises(popbench.ComponentError, match="check model= and api_base="):
            answers(api, provider, request(job=job))


def test_a_job_that_no_provider_gave_is_over(api: Providers) -> None:
    other = submitted(api, "runway")
    asked = len(api.asked())
    for job in ({"id": "video_nonsense"}, {"id": ""}, "x", {}, other):
        assert "none of gemini's" in failure(api, "veo", request(job=job)).error
    assert len(api.asked()) == asked


def test_jobs_are_kept_where_the_provider_fails_while_it_is_asked(render: Run, api: Providers) -> None:
    api.plan(render=1000, replies={"GET": [503, {"error": "overloaded"}]})
    stopped = render("runway", limit=2, options={"retry_seconds": 0})
    assert stopped.errors == at_work(stopped.path) == 2
    api.plan(down=["POST"], finish=True)
    assert render("runway", limit=2).complete
    assert len(api.jobs()) == 2


def start(api: Providers, folder: Path, provider: str) -> Any:
    command = ["eval", "--llm", "verbatim", "--mode", "basic", "--task", "popcorn_concrete", "--predictor", "demo",
               "--corpus", "demo", "--gen", spec(api, provider), "--limit", "12", "--out", "run"]  # fmt: skip
    return video_api.start(folder / "none", folder, *command)


def finish(api: Providers, folder: Path, provider: str) -> None:
    """Let all jobs come to their end, and have the same command take the clips; each prompt had one job."""
    api.plan(finish=True)
    process = start(api, folder, provider)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert KEY not in out + errors
    assert len(api.jobs()) == len({job["prompt"] for job in api.jobs()}) == 12


@pytest.mark.slow
def test_a_run_that_is_killed_with_jobs_at_work_pays_for_none_twice(api: Providers, tmp_path: Path) -> None:
    """As most providers, this one knows no Idempotency-Key."""
    api.plan(render=1e9, idempotent=False)
    for left in (12, 9):
        process = start(api, tmp_path, "fal")
        while process.poll() is None and not (len(api.jobs()) == 12 and at_work(tmp_path / "run") == left):
            time.sleep(0.02)
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        api.finish(3)
    finish(api, tmp_path, "fal")


@pytest.mark.slow
def test_a_creation_that_is_killed_is_repeated_under_its_key(api: Providers, tmp_path: Path) -> None:
    """The server replies late, so that kills hit the time between the acceptance of a job and its commit."""
    api.plan(render=1e9, slow_reply=0.3)
    for count in (3, 15):
        until = len(api.asked()) + count
        process = start(api, tmp_path, "veo")
        while process.poll() is None and len(api.asked()) < until:
            time.sleep(0.005)
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        api.finish(2)
    finish(api, tmp_path, "veo")

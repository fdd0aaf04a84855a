"""A video API with a queue of jobs, brought by another distribution: no clip is paid for twice."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import popbench
import popbench_runs
import video_api
from popbench import testing
from popbench.engines import pacing
from popbench.progress import Progress
from popbench.runs.status_reading import read_status
from video_api import DISTRIBUTION, VideoApi

Run = Callable[..., popbench.Run]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoApi]:
    with video_api.serving(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(server: VideoApi, monkeypatch: pytest.MonkeyPatch) -> VideoApi:
    server.plan()
    server.forget()
    monkeypatch.setenv("REEL_API_KEY", video_api.KEY)
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    return server


@pytest.fixture(scope="module")
def reel() -> Any:
    spec = importlib.util.spec_from_file_location("reel", DISTRIBUTION / "reel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Reel


@pytest.fixture
def run(api: VideoApi, reel: Any, tmp_path: Path) -> Run:
    """Make six clips, or go on with that."""

    def run(out: str = "run", **more: Any) -> popbench.Run:
        given = {"llm": "verbatim", "predictor": "demo", "limit": 6, **more}
        generator = reel(reel.Options(url=api.url, poll=0.02))
        return popbench_runs.run_fast(tmp_path / out, gen=[generator], **given)

    return run


def stop(run: Run, api: VideoApi, **more: Any) -> popbench.Run:
    """Submit all jobs, and end the component before any is finished: the API does not take its key any more."""
    api.plan(render=1000, replies={"GET": [401, {"error": "unknown key"}]})
    stopped = run(**more)
    assert stopped.errors == len(at_work(stopped.path)) == stopped.n > 0
    api.plan(render=1000)
    return stopped


def at_work(out: Path) -> dict[str, Any]:
    """Return the unfinished jobs of a run, by key."""
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        rows = dict(ledger.execute("SELECT key, job FROM jobs WHERE job IS NOT NULL"))
    ledger.close()
    return rows


# -- the distribution


def test_it_takes_60_lines() -> None:
    lines = (DISTRIBUTION / "reel.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 60


def test_the_documentation_shows_it_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "video-apis.md"
    assert (DISTRIBUTION / "reel.py").read_text(encoding="utf-8") in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_is_installed_listed_and_run(api: VideoApi, tmp_path: Path) -> None:
    site = video_api.install(tmp_path)
    listed, errors = video_api.start(site, tmp_path, "plugins", "--json").communicate(timeout=100)
    components = json.loads(listed)["components"]
    assert [item["distribution"] for item in components if item["name"] == "reel"] == ["popbench-reel"], errors
    process = video_api.start(site, tmp_path, *video_api.command(api, 3))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert len(api.jobs()) == 3


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit(api: VideoApi, reel: Any) -> None:
    report = testing.check_generator(reel(reel.Options(url=api.url, poll=0.01)))
    assert "job" in report.rules
    keys = [job["key"] for job in api.jobs()]
    assert len(keys) == len(set(keys))


# -- what an API does


def test_every_clip_is_one_job_with_a_key_of_its_own(run: Run, api: VideoApi) -> None:
    api.plan(render=0.1, spread=3)
    made = run()
    jobs = api.jobs()
    assert made.complete
    assert len(jobs) == len({job["key"] for job in jobs}) == 6
    assert at_work(made.path) == {}
    assert run().complete
    assert len(api.jobs()) == 6


def test_a_full_queue_is_waited_for(run: Run, api: VideoApi) -> None:
    api.plan(render=0.05, capacity=2)
    assert run().complete
    assert len(api.jobs()) == 6
    assert api.asked().count("POST /v1/videos") > 6


def test_a_failed_job_is_an_error_and_the_same_command_asks_under_another_key(run: Run, api: VideoApi) -> None:
    word = next(iter(run(stop_after="write").samples())).prompt.split()[0]
    api.plan(fail=word)
    failed = [sample for sample in run().samples() if sample.status == "error"]
    assert failed
    assert all(sample.error == "the model failed" for sample in failed)
    assert len(api.jobs()) == 6
    api.plan()
    assert run().complete
    first, again = api.jobs()[:6], api.jobs()[6:]
    assert len(again) == len(failed)
    assert {job["key"] for job in again} == {f"{job['key']}-2" for job in first if job["comes_to"] == "failed"}


def test_a_refusal_is_final_and_keeps_what_it_cost(run: Run, api: VideoApi) -> None:
    word = next(iter(run(stop_after="write").samples())).prompt.split()[0]
    api.plan(refuse=word)
    made = run()
    refused = [sample for sample in made.samples() if sample.status == "invalid"]
    assert refused
    with sqlite3.connect(made.path / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT payload FROM calls WHERE stage = 'render' AND status = 'invalid'").fetchall()
    ledger.close()
    assert [json.loads(payload)["usage"] for (payload,) in rows] == [{"video_seconds": 2}] * len(refused)
    assert run().errors == 0
    assert len(api.jobs()) == 6


def test_an_expired_link_and_a_cut_download_are_fetched_again(run: Run, api: VideoApi) -> None:
    api.plan(link=-1)
    assert run().complete
    api.plan(cut=3)
    assert run(seed=7, out="cut").complete
    assert len(api.jobs()) == 12


# -- jobs that outlive a run


def test_jobs_outlive_a_component_that_ended_and_are_told(run: Run, api: VideoApi) -> None:
    stopped = stop(run, api)
    assert len(at_work(stopped.path)) == 6
    assert sum(stage.submitted for stage in read_status(stopped.path).stages) == 6
    assert "render Reel: 6 jobs submitted and not finished" in " ".join(read_status(stopped.path).notes)
    stop(run, api)  # a second time
    assert len(api.jobs()) == 6


def test_another_command_asks_for_the_jobs_and_creates_none(run: Run, api: VideoApi) -> None:
    stop(run, api)
    api.plan(finish=True)
    assert run().complete
    assert len(api.jobs()) == 6


def test_a_job_that_is_gone_is_asked_anew_in_the_same_run_and_said(run: Run, api: VideoApi) -> None:
    stop(run, api)
    before = {job["key"] for job in api.jobs()}
    api.plan()
    api.forget()
    told = Told()
    assert run(progress=told).complete
    assert {job["key"] for job in api.jobs()} == {f"{key}-2" for key in before}
    assert any("its job of an earlier run is over, and it is asked anew: job job-" in line for line in told.lines)


def test_jobs_that_fail_again_when_asked_anew_are_errors_and_no_loop(run: Run, api: VideoApi) -> None:
    stop(run, api)
    api.forget()
    word = next(iter(run(stop_after="write").samples())).prompt.split()[0]
    api.plan(fail=word)
    errors = run().errors
    assert errors > 0
    assert len(api.jobs()) == 6


def test_a_file_that_is_no_video_is_fetched_once_more_and_then_made_again(run: Run, api: VideoApi) -> None:
    api.plan(broken=6)
    made = run()
    assert made.errors == 6
    assert all("its job is kept" in (sample.error or "") for sample in made.samples())
    api.plan(broken=2)
    assert run().complete
    assert len(api.jobs()) == 6 + 2


def test_another_version_leaves_the_jobs_alone_and_says_so(
    run: Run, api: VideoApi, reel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(run, api)
    api.plan(finish=True)
    monkeypatch.setattr(reel, "version", "2")
    told = Told()
    assert run(progress=told).complete
    assert "Reel: version 1 → 2: 6 submitted jobs will not be asked about any more" in told.lines
    assert len(api.jobs()) == 12


def test_two_runs_that_want_the_same_clips_at_the_same_time_pay_once(run: Run, api: VideoApi) -> None:
    api.plan(render=0.2)
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda name: run(out=name), ["one", "two"]))
    assert all(made.complete for made in both)
    assert len(api.jobs()) == 6


def test_shards_bring_their_jobs_into_the_whole_run(run: Run, api: VideoApi, tmp_path: Path) -> None:
    assert run(shard="1/2").complete
    count = len(api.jobs())
    stop(run, api, shard="2/2")
    assert len(api.jobs()) == 6
    merged = popbench.merge([*tmp_path.glob("run.shard-*")])
    assert merged.errors == 6 - count > 0
    assert len(at_work(merged.path)) == 6 - count
    api.plan(finish=True)
    assert run().complete
    assert len(api.jobs()) == 6


class Told(Progress):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def problem(self, line: str) -> None:
        self.lines.append(line)

    notice = problem


# -- kills


@pytest.mark.slow
def test_an_interrupt_says_that_the_jobs_go_on(api: VideoApi, tmp_path: Path) -> None:
    site = video_api.install(tmp_path)
    api.plan(render=1000)
    process = video_api.start(site, tmp_path, *video_api.command(api, 6))
    while len(api.jobs()) < 6 or len(at_work(tmp_path / "run")) < 6:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "6 jobs submitted and not finished: the same command asks for them again" in errors
    shown = video_api.start(site, tmp_path, *video_api.command(api, 6, "--dry-run")).communicate(timeout=60)[0]
    assert "reel: 6 jobs submitted before, and only waited for" in shown
    api.plan(finish=True)
    process = video_api.start(site, tmp_path, *video_api.command(api, 6))
    assert process.wait(60) == 0
    process.communicate()
    assert len(api.jobs()) == 6


@pytest.mark.slow
def test_a_killed_run_pays_for_no_clip_twice(api: VideoApi, tmp_path: Path) -> None:
    """The API replies late, so that kills hit the time between the acceptance of a job and its commit."""
    site, random_ = video_api.install(tmp_path), random.Random(3)
    command = video_api.command(api, 24)
    api.plan(render=1e9, slow_reply=0.3)
    for _ in range(4):
        until = len(api.asked()) + random_.randint(1, 60)
        process = video_api.start(site, tmp_path, *command)
        while process.poll() is None and len(api.asked()) < until:
            time.sleep(0.005)
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        api.finish(2)  # so that the next one has clips to fetch and jobs to create
    assert at_work(tmp_path / "run")
    api.plan(finish=True)
    process = video_api.start(site, tmp_path, *command)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    jobs = api.jobs()
    assert len(jobs) == len({(job["prompt"], job["seed"]) for job in jobs}) == 24

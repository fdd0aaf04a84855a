"""Batches that outlive a run: another command fetches them, and no request is paid for twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import openai_servers
import popbench_runs
from batch_runs import KEY_ENV, BatchServer, at_work, errors_of, jobs, make, spec
from command_line import in_process
from openai_servers import eventually
from popbench.records import Chat, Completion, Failure, Submitted
from popbench_openai import batches
from video_renders import Run


def stop(write: Run, batch: BatchServer, **more: Any) -> None:
    """Create all batches, and end the model before any is over, since the server cannot be asked about them."""
    batch.plan(hours=1000, down=["GET"])
    stopped = write(**{"options": {"retry_seconds": 0.1}, **more})
    assert stopped.errors == at_work(stopped.path) == 6
    assert batch.sizes() == [6]


def test_another_command_fetches_the_batch_and_creates_none(write: Run, batch: BatchServer) -> None:
    stop(write, batch)
    batch.plan(finish=True, down=["POST"])
    assert write().complete
    assert batch.sizes() == [6]


def test_a_run_without_batch_keeps_what_is_in_a_batch_and_says_so(write: Run, batch: BatchServer) -> None:
    stop(write, batch)
    batch.plan(finish=True)
    online = write(limit=8, options={"batch": False})
    assert online.errors == at_work(online.path) == 6
    assert "it is in a batch, which batch=true fetches" in errors_of(online)
    assert write(limit=8).complete
    assert batch.sizes() == [6]


def test_requests_that_are_new_are_in_a_batch_of_their_own(write: Run, batch: BatchServer) -> None:
    stop(write, batch)
    batch.plan(finish=True)
    assert write(limit=9).complete
    assert batch.sizes() == [6, 3]
    assert len(batch.requests()) == len(set(batch.requests())) == 9


def test_a_run_and_its_status_tell_of_the_jobs(
    batch: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = in_process(monkeypatch, capsys, tmp_path)
    batch.plan(hours=1000, down=["GET"])
    command = ["eval", "--llm", spec(batch, retry_seconds=0.1), "--gen", "faulty", "--predictor", "faulty", "--corpus",
               "demo", "--mode", "basic", "--task", "popcorn_concrete", "--limit", 6, "--out", "run"]  # fmt: skip
    told = run(*command).err
    assert told.count("write tiny: jobs are submitted: after an interrupt (Ctrl-C), the same command goes on") == 1
    assert "6 jobs submitted and not finished: the same command asks for them again" in told
    assert "write tiny: 6 jobs submitted and not finished" in run("status", "run").out
    assert "tiny: 6 jobs submitted before, and only waited for" in run(*command, "--dry-run").out


def test_a_batch_whose_creation_was_not_stored_is_found_by_its_file(write: Run, batch: BatchServer) -> None:
    batch.plan(lost=1, down=["GET"])
    lost = write(options={"retry_seconds": 0})
    assert batch.sizes() == [6]
    assert [set(job) for job in jobs(lost.path)] == [{"file", "line", "at"}] * 6
    batch.plan(page=1)
    for number in range(2):  # of the account's, newer than that one
        ask(batch, openai_servers.chat(f"other-{number}"))
    assert write().complete
    assert batch.sizes() == [6, 1, 1]


def test_a_batch_whose_creation_was_not_answered_is_looked_for_in_lists_that_lag(
    write: Run, batch: BatchServer
) -> None:
    batch.plan(lost=1, lags=batches._LOOKS_FOR_NEW - 1)
    assert write().complete
    assert batch.sizes() == [6]


def test_where_no_batches_are_listed_a_creation_without_an_answer_is_not_repeated(
    write: Run, batch: BatchServer
) -> None:
    batch.plan(lost=1, lists=False)
    for _ in range(2):
        lost = write()
        assert "whether file file-0 has a batch cannot be told, since it lists none: look there" in errors_of(lost)
        assert batch.sizes() == [at_work(lost.path)] == [6]
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6]


def test_results_that_are_late_are_fetched_by_another_command(write: Run, batch: BatchServer) -> None:
    batch.plan(late=True)
    late = write()
    assert "the results of batch batch_0 hold no line of its requests" in errors_of(late)
    assert at_work(late.path) == 6
    batch.plan()
    assert write().complete
    assert batch.sizes() == [6]


def test_a_file_without_a_batch_is_nothing_that_was_paid_for(batch: BatchServer) -> None:
    chat = openai_servers.chat("one")
    steps = make(batch).generate(iter([chat]))
    submitted = next(iter(steps))
    assert isinstance(submitted, Submitted)
    assert isinstance(steps, Generator)
    steps.close()
    assert not batch.batches()
    failed = ask(batch, replace(chat, job=submitted.job))
    assert isinstance(failed, Failure)
    assert "its file was uploaded, and no batch created" in failed.error
    assert not failed.keeps_job


def ask(batch: BatchServer, chat: Chat, **options: Any) -> Completion | Failure:
    """Return the answer to a chat, which may have a job."""
    (answer,) = (step for step in make(batch, **options).generate(iter([chat])) if not isinstance(step, Submitted))
    return answer


def test_a_job_that_is_no_batch_is_over(batch: BatchServer) -> None:
    wrong: list[Any] = ["video-1", {"batch": "b"}, {"file": 7, "line": "a"}, [], {"file": "f", "batch": 1, "line": "a"}]
    for job in wrong:
        failed = ask(batch, replace(openai_servers.chat("one"), job=job))
        assert isinstance(failed, Failure)
        assert "the job of an earlier run is no batch" in failed.error


def test_a_batch_that_another_account_made_is_not_asked_again(write: Run, batch: BatchServer) -> None:
    stop(write, batch)
    batch.plan(gone=["batch_0"])
    other = write()
    assert f"batch batch_0 is not there: ask with the key in {KEY_ENV} of the account" in errors_of(other)
    assert at_work(other.path) == 6
    batch.plan(finish=True)
    assert write().complete
    assert batch.sizes() == [6]


def test_a_batch_that_is_gone_for_long_is_asked_anew(
    write: Run, batch: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(write, batch)
    batch.plan(gone=["batch_0"])
    monkeypatch.setattr(batches, "KEPT", 0)
    assert write().complete
    assert batch.sizes() == [6, 6]


def test_results_that_are_gone_are_asked_anew(write: Run, batch: BatchServer) -> None:
    stop(write, batch)
    batch.plan(finish=True, gone=["file-1"])
    assert write().complete
    assert batch.sizes() == [6, 6]


def test_what_a_server_refuses_is_known_to_the_next_command(batch: BatchServer) -> None:
    batch.plan(faults={"0": {"0": "format"}})
    chat = openai_servers.chat("one")
    steps = list(make(batch).generate(iter([chat])))
    job = next(step.job for step in reversed(steps) if isinstance(step, Submitted))
    refused = ("the server refused a response_format; asked with json_object",)
    assert openai_servers.done(steps[-1]).remarks == refused  # type: ignore[arg-type]
    assert openai_servers.done(ask(batch, replace(chat, job=job))).remarks == refused
    assert batch.sizes() == [1, 1]


def test_a_failed_batch_of_an_earlier_command_is_asked_anew(write: Run, batch: BatchServer) -> None:
    batch.plan(rejected=[{"code": "billing", "message": "Pay first.", "line": None}])
    assert "Pay first." in errors_of(write())
    batch.plan()
    assert write().complete
    assert len(batch.requests()) == 6


# -- kills


def arguments(batch: BatchServer, *more: str) -> list[str]:
    return ["eval", "--llm", spec(batch, batch_size=5), "--gen", "faulty", "--predictor", "faulty", "--task",
            "popcorn_concrete", "--mode", "basic", "--limit", "30", "--out", "run", *more]  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_pays_for_no_request_twice(batch: BatchServer, tmp_path: Path) -> None:
    """The server replies late, so that kills hit the time between the creation of a batch and its commit."""
    batch.plan(hours=0.5, slow_reply=0.15)
    counts = [3, 2, 7, 4, 11, 5, 6]
    for count in counts:
        until = len(batch.asked()) + count
        process = popbench_runs.start(arguments(batch), tmp_path)
        while process.is_alive() and len(batch.asked()) < until:
            time.sleep(0.005)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0), (tmp_path / "stderr.txt").read_text()
    process = popbench_runs.start(arguments(batch), tmp_path)
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
    assert len(batch.requests()) == len(set(batch.requests())) == 30
    assert set(batch.paid().values()) == {1}


@pytest.mark.slow
def test_an_interrupt_ends_the_waiting_and_tells_how_to_go_on(batch: BatchServer, tmp_path: Path) -> None:
    batch.plan(hours=1000)
    process = popbench_runs.start([*arguments(batch)], tmp_path)
    assert eventually(lambda: (tmp_path / "run" / "ledger.sqlite").exists() and at_work(tmp_path / "run") == 30, 60)
    started = time.monotonic()
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert time.monotonic() - started < 8
    told = (tmp_path / "stderr.txt").read_text()
    assert "30 jobs submitted and not finished: the same command asks for them again" in told
    assert "To go on: popbench eval" in told
    batch.plan(finish=True)
    process = popbench_runs.start(arguments(batch), tmp_path)
    process.join(60)
    assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
    assert len(batch.requests()) == 30

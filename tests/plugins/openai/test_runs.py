"""Whole runs with a failing chat API, and killed runs: nothing is lost or paid for twice."""

from __future__ import annotations

import os
import random
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import chat_server
import openai_servers
import popbench_runs
from openai_servers import ChatServer, digests, eventually, spec
from popbench.engines import pacing

KILLS = 3
CONCURRENCY = 8
PROMPTS = 80


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with openai_servers.serving() as server:
        yield server


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)


def _arguments(llm: str, *more: str) -> list[str]:
    return [
        "eval", "--llm", llm, "--gen", "faulty", "--predictor", "faulty", "--task", "popcorn_concrete",
        "--mode", "basic", "--limit", str(PROMPTS), "--concurrency", str(CONCURRENCY), "--out", "run", *more,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("fault", [*chat_server.TRANSIENT, *chat_server.SLOW])
def test_a_run_gets_through_a_fault_of_every_fifth_call(fault: str, server: ChatServer, tmp_path: Path) -> None:
    server.reset(faults={fault: 0.2}, first=[fault], retry_after=0.02)
    llm = spec(server, **({"timeout": 0.2} if fault in chat_server.SLOW else {}))
    run = popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=12)
    assert run.complete
    assert [sample["status"] for sample in popbench_runs.samples(run.path)] == ["ok"] * 12
    rows = server.log()
    assert sum(row["fault"] is None for row in rows) == 12
    assert len(rows) > 12
    (cost,) = run.costs
    assert cost["calls"] == 12
    assert popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=12).complete
    assert len(server.log()) == len(rows), "a second run has nothing to ask"


@pytest.mark.slow
@pytest.mark.usefixtures("_short_waits")
def test_a_run_gets_through_all_faults_at_once(server: ChatServer, tmp_path: Path) -> None:
    kinds = [*chat_server.TRANSIENT, *chat_server.SLOW]
    faults = dict.fromkeys(kinds, 0.025)
    server.reset(faults=faults, latency=[0.0, 0.05], retry_after=0.02)
    llm = spec(server, timeout=0.4, max_retries=12)
    run = popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=40, mode=["basic", "pe"], corpus="demo")
    assert run.complete
    assert run.n == 80
    assert run.invalid == 0
    assert len({row["fault"] for row in server.log()} & set(faults)) > len(faults) / 2


@pytest.mark.usefixtures("_short_waits")
def test_what_could_not_be_had_is_told_and_all_that_a_second_run_asks(server: ChatServer, tmp_path: Path) -> None:
    server.reset(faults={"500": 0.1, "400": 0.1, "refusal": 0.1, "filter-400": 0.1})
    llm = spec(server, max_retries=0)
    run = popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=60)
    samples = popbench_runs.samples(run.path)
    assert len(samples) == 60
    statuses = [sample["status"] for sample in samples]
    assert {status: statuses.count(status) for status in ("error", "invalid")} == {
        "error": run.errors, "invalid": run.invalid,
    }  # fmt: skip
    assert run.errors
    assert run.invalid
    assert all(sample["error"] for sample in samples if sample["status"] != "ok")
    server.reset()
    again = popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=60)
    assert again.complete
    assert again.invalid == run.invalid, "the model's own failures are final"
    assert len(server.log()) == run.errors


def test_an_answer_without_a_draft_is_asked_again_and_the_same_one_again_is_invalid(
    server: ChatServer, tmp_path: Path
) -> None:
    server.reset(text="I would rather not.")
    run = popbench_runs.run_fast(tmp_path / "run", llm=spec(server), limit=4)
    assert run.complete
    assert run.invalid == 4
    rows = server.log()
    assert len(rows) == 8
    assert len({row["sent"]["seed"] for row in rows}) == 8


def test_tokens_and_dollars_are_counted_once_for_each_draft(server: ChatServer, tmp_path: Path) -> None:
    server.reset()
    llm = spec(server, price_in=1.5, price_out=6)
    gens = ["faulty", "faulty,label=other"]
    run = popbench_runs.run_fast(tmp_path / "run", llm=llm, limit=6, gen=gens)
    samples = popbench_runs.samples(run.path)
    assert len(samples) == 12
    drafts = {sample["prompt_id"]: sample["usage"] for sample in samples}
    total = {kind: sum(usage[kind] for usage in drafts.values()) for kind in ("input", "output")}
    (row,) = run.costs
    assert row["calls"] == 6
    assert row["usage"] == total
    assert row["cost"] == pytest.approx((1.5 * total["input"] + 6 * total["output"]) / 1e6)
    for sample in samples:
        usage = sample["usage"]
        assert sample["cost"] == pytest.approx((1.5 * usage["input"] + 6 * usage["output"]) / 1e6)
    assert run.results is not None
    assert run.results["costs"] == list(run.costs)


def _finish(arguments: list[str], folder: Path) -> Any:
    process = popbench_runs.start(arguments, folder)
    process.join(60)
    return process


def _reaches(process: Any, condition: Callable[[], bool]) -> bool:
    """Wait until a process has come so far, or has ended; return whether it has come so far."""
    eventually(lambda: condition() or not process.is_alive(), 60)
    return condition()


@pytest.mark.slow
def test_a_run_killed_at_random_moments_asks_nothing_again_that_it_has(server: ChatServer, tmp_path: Path) -> None:
    server.reset(latency=[0.05, 0.15])
    arguments = _arguments(spec(server))
    assert _finish(arguments, tmp_path / "whole").exitcode == 0
    rows = server.log()
    assert len(rows) == PROMPTS
    seconds = max(row["end"] for row in rows) - min(row["start"] for row in rows)
    random_ = random.Random(5)
    folder, kills, asked = tmp_path / "killed", 0, 0
    while True:
        server.reset(latency=[0.05, 0.15])
        before = digests(folder / "run")
        process = popbench_runs.start(arguments, folder)
        _reaches(process, lambda before=before: bool(digests(folder / "run") - before))  # type: ignore[misc]
        process.join(random_.uniform(0, seconds / KILLS) if kills < KILLS else 60)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join(60)
        assert eventually(lambda: server.active() == 0)
        rows = server.log()
        assert sum(row["status"] is None for row in rows) <= CONCURRENCY
        ids = [row["id"] for row in rows]
        assert len(ids) == len(set(ids)), "one start asked for one draft twice"
        assert not before & set(ids), "a committed answer was asked for again"
        asked += len(ids)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, (folder / "stderr.txt").read_text()
    assert kills == KILLS, "the runs ended before they could be killed"
    assert asked <= PROMPTS + KILLS * CONCURRENCY
    assert popbench_runs.outcome(folder / "run") == popbench_runs.outcome(tmp_path / "whole" / "run")


@pytest.mark.slow
def test_an_interrupt_ends_calls_that_hang(server: ChatServer, tmp_path: Path) -> None:
    server.reset(every="hang", after=10)
    process = popbench_runs.start(_arguments(spec(server)), tmp_path)
    assert _reaches(process, lambda: server.active() == CONCURRENCY and len(digests(tmp_path / "run")) == 10)
    started = time.monotonic()
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(30)
    assert time.monotonic() - started < 8
    assert process.exitcode == 130
    assert "To go on: popbench eval" in (tmp_path / "stderr.txt").read_text()
    assert eventually(lambda: server.active() == 0)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gone", "503", "hang"])
def test_a_server_that_goes_down_for_good_ends_the_run_and_a_resume_completes_it(how: str, tmp_path: Path) -> None:
    with openai_servers.serving(latency=[0.02, 0.05]) as server:
        port = server.port
        if how != "gone":
            server.plan(latency=[0.02, 0.05], every=how, after=30)
        llm = spec(server, max_retries=1, retry_seconds=3, timeout=0.5)
        process = popbench_runs.start(_arguments(llm), tmp_path)
        if how == "gone":
            assert _reaches(process, lambda: len(server.log()) > 30)
            server.stop()
        else:
            assert _reaches(process, lambda: any(row["fault"] for row in server.log()))
        started = time.monotonic()
        process.join(60)
        assert time.monotonic() - started < 15
    assert process.exitcode == 1
    told = (tmp_path / "stderr.txt").read_text()
    assert "Traceback" not in told
    assert told.splitlines()[-1].endswith(shlex.join(["popbench", *_arguments(llm)]))
    assert f"tiny at {server.url}" in told
    committed = digests(tmp_path / "run")
    assert 0 < len(committed) < PROMPTS
    with openai_servers.serving(port) as server:
        process = _finish(_arguments(llm), tmp_path)
        assert process.exitcode == 0, (tmp_path / "stderr.txt").read_text()
        asked = {row["id"] for row in server.log()}
    assert not committed & asked
    assert len(committed | asked) == PROMPTS


@pytest.mark.usefixtures("_short_waits")
def test_a_server_that_moves_keeps_its_answers_where_it_has_a_name(tmp_path: Path) -> None:
    with openai_servers.serving() as server:
        assert popbench_runs.run_fast(tmp_path / "run", llm=spec(server, provider="lab")).complete
    with openai_servers.serving() as server:
        assert popbench_runs.run_fast(tmp_path / "run", llm=spec(server, provider="lab")).complete
        assert not server.log()


@pytest.mark.slow
def test_many_chats_take_little_memory_and_are_all_answered(server: ChatServer) -> None:
    server.reset(latency=0.02)
    measured = openai_servers.measure_apart(server.url, 4000, 200)
    assert measured["answered"] == 4000
    assert len(server.log()) == 4000
    assert server.most() > 100
    assert measured["above_mb"] < 300
    assert measured["grown_mb"] < 10

"""Faults of a chat API: passing ones are tried again, lasting ones are reported in one line."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import chat_server
import command_line
import openai_servers as support
from command_line import Run
from openai_servers import ChatServer, ask, chat, done, failed
from popbench.engines import pacing


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `popbench eval`, drafts only, on the command line."""
    call = command_line.in_process(monkeypatch, capsys, tmp_path)

    def evaluate(llm: str, *more: object) -> command_line.Done:
        drafts = ("--task", "popcorn_concrete", "--mode", "basic", "--limit", "20", "--stop-after", "write")
        return call("eval", "--llm", llm, *drafts, "--out", "run", *more)

    return evaluate


PASSING = {**chat_server.TRANSIENT, **chat_server.SLOW}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_waited_out(fault: str, server: ChatServer) -> None:
    asked = chat(f"passing-{fault}", first=[fault, fault], retry_after=0.05)
    slow = fault in chat_server.SLOW
    done(support.ask_one(server, asked, **({"timeout": 0.3} if slow else {})))
    assert [row["fault"] for row in server.log(support.identity(asked))] == [fault, fault, None]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_does_not_pass_ends_in_an_error_of_its_item(fault: str, server: ChatServer) -> None:
    lost = chat(f"lasting-{fault}", every=fault, retry_after=0.05)
    sound = [chat(f"beside-{fault}-{number}") for number in range(3)]
    options = {"timeout": 0.1} if fault in chat_server.SLOW else {}
    answers = ask(support.make(server, max_retries=2, **options), [lost, *sound])
    failure = failed(answers[lost.id])
    assert not failure.invalid
    assert "tiny" in failure.error
    assert server.url in failure.error
    assert len(server.log(support.identity(lost))) == 3
    for one in sound:
        done(answers[one.id])


@pytest.mark.parametrize("fault", chat_server.REJECTED)
def test_a_request_that_is_rejected_is_an_error_that_is_not_tried_again(fault: str, server: ChatServer) -> None:
    lost = chat(f"rejected-{fault}", every=fault)
    sound = chat(f"beside-{fault}")
    answers = ask(support.make(server, concurrency=1), [sound, lost])  # what it takes is known by the first answer
    failure = failed(answers[lost.id])
    assert not failure.invalid
    assert "tiny" in failure.error
    assert server.url in failure.error
    assert ("--mode pe,k=" in failure.error) == fault.startswith(("context", "413"))
    assert len(server.log(support.identity(lost))) == 1
    done(answers[sound.id])


def test_a_first_rejection_without_a_reason_costs_a_request_for_each_thing_that_may_be_left_out(
    server: ChatServer,
) -> None:
    lost = chat("rejected-at-first", every="422")
    failure = failed(ask(support.make(server), [lost])[lost.id])
    assert "Input should be a valid list" in failure.error
    assert len(server.log(support.identity(lost))) <= 4


@pytest.mark.parametrize("fault", chat_server.REFUSED)
def test_a_refusal_is_the_models_own_failure(fault: str, server: ChatServer) -> None:
    refused = chat(f"refused-{fault}", every=fault)
    sound = chat(f"beside-{fault}")
    answers = ask(support.make(server), [refused, sound])
    assert failed(answers[refused.id]).invalid
    assert len(server.log(support.identity(refused))) == 1
    done(answers[sound.id])


REMEDIES = {
    "insufficient-quota": "top up", "401": support.KEY_ENV, "402": "top up", "402-in-200": "top up", "403": "key",
    "404": "model=",
}  # fmt: skip


@pytest.mark.parametrize("fault", chat_server.FATAL)
def test_what_no_call_can_pass_ends_the_model_at_once_in_one_line(
    fault: str, server: ChatServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(support.KEY_ENV, support.KEY)
    server.reset(every=fault, latency=0.02)
    try:
        started = time.monotonic()
        ended = run(support.spec(server, api_key_env=support.KEY_ENV), "--concurrency", "4")
        assert time.monotonic() - started < 10
        assert len(server.log()) <= 4
    finally:
        server.plan()
    assert ended.status == 1
    assert "Traceback" not in ended.err
    (line,) = [line for line in ended.err.splitlines() if server.url in line and "pending" in line][:1]
    assert "tiny" in line
    assert REMEDIES[fault] in line
    assert len(line) < 600


def test_a_model_that_ended_is_tried_again_by_the_same_command(server: ChatServer, run: Run) -> None:
    server.reset(every="402", after=10)
    assert run(support.spec(server), "--concurrency", "1").status == 1
    committed = support.digests(Path("run"))
    assert len(committed) == 10
    server.reset()
    ended = run(support.spec(server))
    assert ended.status == 0, ended.err
    assert not committed & {row["id"] for row in server.log()}
    assert len(server.log()) == 10


def test_a_server_that_is_not_there_is_told_in_one_line(server: ChatServer, run: Run) -> None:
    with support.serving() as gone:
        url = gone.url
    ended = run(support.spec(url, max_retries=2), "--concurrency", "4")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    (line,) = [line for line in ended.err.splitlines() if "pending" in line][:1]
    assert "tiny" in line
    assert url in line


def test_a_missing_key_is_told_before_any_work(server: ChatServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(support.KEY_ENV, raising=False)
    server.reset()
    ended = run(support.spec(server, api_key_env=support.KEY_ENV))
    assert ended.status == 2
    assert f"the key {support.KEY_ENV} is not set: export {support.KEY_ENV}=..." in ended.err
    assert not server.log()


def test_an_answer_that_trickles_in_forever_is_given_up_after_its_timeout(server: ChatServer) -> None:
    asked = chat("trickle", first=["drip"])
    done(support.ask_one(server, asked, timeout=0.5))
    first, second = server.log(support.identity(asked))
    assert 0.45 < second["start"] - first["start"] < 1.5


def test_no_attempt_starts_after_retry_seconds(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.1)
    lost = chat("late", every="503")
    started = time.monotonic()
    failure = failed(support.ask_one(server, lost, max_retries=1000, retry_seconds=1))
    assert time.monotonic() - started < 2
    starts = [row["start"] for row in server.log(support.identity(lost))]
    assert len(starts) > 2
    assert starts[-1] - starts[0] < 1.1
    assert not failure.invalid


def test_waits_double_and_differ(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.1)
    chats = [chat(f"waits-{number}", first=["500"] * 4) for number in range(12)]
    ask(support.make(server, structured="off", system_role="keep"), chats)
    gaps: list[list[float]] = [[], [], [], []]
    for one in chats:
        rows = server.log(support.identity(one))
        for number, (before, after) in enumerate(itertools.pairwise(rows)):
            gaps[number].append(after["start"] - before["end"])
    for number, found in enumerate(gaps):
        assert len(found) == len(chats)
        assert min(found) > 0.1 * 2**number * 0.4
        assert max(found) < 0.1 * 2**number + 0.4
    assert max(gaps[3]) - min(gaps[3]) > 0.05, "everybody would come back at the same moment"

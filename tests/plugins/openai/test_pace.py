"""Rate limits of a chat API: concurrency, calls per minute, and the waits that a server asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import openai_servers as support
from openai_servers import ChatServer, ask, chat, done, failed
from popbench.records import Chat, Completion

SLACK = 0.2
"""Seconds that the first call may need longer to arrive than the others: it opens a connection."""


@pytest.fixture(scope="module")
def _shared() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


@pytest.fixture
def server(_shared: ChatServer) -> ChatServer:
    _shared.reset()
    return _shared


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 5, 32])
def test_no_more_calls_are_at_work_than_the_option_says_and_no_fewer(concurrency: int, server: ChatServer) -> None:
    server.plan(latency=0.05)
    chats = [chat(str(number)) for number in range(6 * concurrency)]
    answers = ask(support.make(server, concurrency=concurrency), chats)
    assert len(answers) == len(chats)
    assert server.most() == concurrency


def test_a_slow_call_holds_no_other_back(server: ChatServer) -> None:
    chats = [chat("slow", latency=1), *(chat(str(number), latency=0.02) for number in range(60))]
    llm = support.make(server, concurrency=4)
    order = [answer.id for answer in llm.generate(chats)]
    llm.close()
    assert order[-1] == "slow"
    rows = server.log()
    assert max(row["start"] for row in rows) - rows[0]["start"] < 0.95


def test_answers_are_handed_over_as_they_come(server: ChatServer) -> None:
    answers = support.make(server, concurrency=2).generate([chat("quick"), chat("slow", latency=0.6)])
    started = time.monotonic()
    assert next(answers).id == "quick"
    assert time.monotonic() - started < 0.5
    assert [answer.id for answer in answers] == ["slow"]


def test_chats_are_pulled_as_they_are_needed(server: ChatServer) -> None:
    pulled: list[str] = []

    def source() -> Iterator[Chat]:
        for number in range(500):
            pulled.append(str(number))
            yield chat(str(number))

    answers = support.make(server, concurrency=4).generate(source())
    for number, _ in enumerate(answers, start=1):
        assert len(pulled) <= number + 4 * 4


def test_requests_a_minute_are_kept_and_used(server: ChatServer) -> None:
    ask(support.make(server, requests_per_minute=900), [chat(str(number)) for number in range(20)])
    starts = [row["start"] for row in server.log()]
    for number, start in enumerate(starts):
        assert start - starts[0] > number / 15 - SLACK
    assert starts[-1] - starts[0] < 19 / 15 + 1


def test_retries_count_among_the_requests_of_a_minute(server: ChatServer) -> None:
    server.plan(first=["500"])
    ask(support.make(server, requests_per_minute=1200), [chat(str(number)) for number in range(10)])
    starts = [row["start"] for row in server.log()]
    assert len(starts) == 20
    for number, start in enumerate(starts):
        assert start - starts[0] > number * 0.05 - SLACK


@pytest.mark.slow
def test_tokens_a_minute_are_kept_and_used(server: ChatServer) -> None:
    rate, concurrency = 4000.0, 4
    server.plan(latency=0.05, text="wave " * 800)
    chats = [chat(str(number)) for number in range(10)]
    llm = support.make(server, tokens_per_minute=60 * rate, concurrency=concurrency, structured="off")
    used = {id_: sum(dict(done(answer).usage or {}).values()) for id_, answer in ask(llm, chats).items()}
    one = max(used.values())
    assert one > 1000
    rows = server.log()
    for number, row in enumerate(rows):
        spent = sum(list(used.values())[:number])
        # What is at work is not known in full before it is answered.
        assert spent <= rate * (row["start"] - rows[0]["start"]) + concurrency * one
    assert rows[-1]["start"] - rows[0]["start"] > (sum(used.values()) - concurrency * one) / rate - 0.1
    assert rows[-1]["end"] - rows[0]["start"] < sum(used.values()) / rate + 1.5


def test_a_server_that_asks_to_wait_is_waited_for(server: ChatServer) -> None:
    waits = {"429-ms": 0.6, "429-seconds": 1, "429-date": 2}
    asked = {fault: chat(fault, first=[fault], retry_after=wait) for fault, wait in waits.items()}
    threads = [threading.Thread(target=support.ask_one, args=(server, one)) for one in asked.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for fault, wait in waits.items():
        refused, answered = server.log(support.identity(asked[fault]))
        # A date has no fractions of a second.
        least = wait - 1 if fault == "429-date" else wait
        assert least <= answered["start"] - refused["end"] < wait + 0.8, fault


def test_a_server_that_asks_one_call_to_wait_is_asked_nothing_meanwhile(server: ChatServer) -> None:
    chats = [chat("told", first=["429-seconds"], retry_after=1), *(chat(str(n), latency=0.1) for n in range(20))]
    ask(support.make(server, concurrency=4), chats)
    rows = server.log()
    told = next(row["end"] for row in rows if row["fault"])
    early = [row["start"] - told for row in rows if 0.05 < row["start"] - told < 0.98]
    assert not early
    assert len(rows) == 22


def test_a_server_that_asks_for_more_patience_than_there_is_costs_its_item_only(server: ChatServer) -> None:
    chats = [chat("told", every="429-seconds", retry_after=3600), *(chat(str(n), latency=0.05) for n in range(20))]
    started = time.monotonic()
    answers = ask(support.make(server, concurrency=4), chats)
    assert time.monotonic() - started < 3
    assert "3600" in failed(answers["told"]).error
    assert sum(isinstance(answer, Completion) for answer in answers.values()) == 20


@pytest.mark.parametrize("hangs", ["hang", "drip", "429-seconds"])
def test_closing_early_ends_everything_at_once(hangs: str, server: ChatServer) -> None:
    before = support.threads()
    chats = [chat("sound"), *(chat(str(number), every=hangs, retry_after=300) for number in range(40))]
    answers = support.make(server, concurrency=8).generate(chats)
    assert next(answers).id == "sound"
    assert support.eventually(lambda: len(server.log()) > (1 if hangs == "429-seconds" else 7))
    started = time.monotonic()
    close = getattr(answers, "close")  # noqa: B009 - an iterator that has one
    close()
    assert time.monotonic() - started < 2
    assert support.eventually(lambda: server.active() == 0, 2)
    assert support.eventually(lambda: support.threads() == before, 2)


def test_a_model_answers_again_after_it_was_closed(server: ChatServer) -> None:
    llm = support.make(server)
    for round_ in range(3):
        assert len(ask(llm, [chat(f"{round_}-{number}") for number in range(5)])) == 5
    assert len(server.log()) == 15

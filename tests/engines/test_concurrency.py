"""Many calls at once: as many as allowed, and none held back.

What has to happen at the same time is proved by events, not by clocks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import popbench
from concurrent_calls import PATIENCE, Concurrent, chats, completion, thread
from popbench.engines import pacing


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.001)


# -- calls


@pytest.mark.parametrize("kind", ["coroutine", "function"])
def test_as_many_calls_as_allowed_are_at_work_and_no_more(kind: str) -> None:
    together, most, at_work = threading.Barrier(4), 0, 0
    lock = threading.Lock()

    def meet(chat: popbench.Chat) -> popbench.Completion:
        nonlocal most, at_work
        with lock:
            at_work += 1
            most = max(most, at_work)
        together.wait(PATIENCE)  # broken unless four are here at the same time
        with lock:
            at_work -= 1
        return completion(chat)

    async def meet_in_a_thread(chat: popbench.Chat) -> popbench.Completion:
        return await asyncio.to_thread(meet, chat)

    work = meet if kind == "function" else meet_in_a_thread
    answers = list(popbench.concurrently(chats(12), work, limit=4))
    assert sorted(answer.id for answer in answers) == sorted(chat.id for chat in chats(12))
    assert most == 4


def test_a_finished_answer_does_not_wait_for_a_request_that_is_not_there_yet(tmp_path: Path) -> None:
    stored = threading.Event()

    def source() -> Iterator[popbench.Chat]:
        first, second = chats(2)
        yield first
        assert stored.wait(PATIENCE)  # the stage before has nothing until the first answer was taken
        yield second

    running = thread(Concurrent(completion), source(), tmp_path)
    first = running.next(PATIENCE)
    stored.set()
    second = running.next(PATIENCE)
    assert [first and first.id, second and second.id] == ["c0", "c1"]
    assert running.next(PATIENCE) is None


def test_an_answer_keeps_its_place_among_the_calls_until_it_is_stored() -> None:
    pulled: list[str] = []

    def source() -> Iterator[popbench.Chat]:
        for chat in chats(9):
            pulled.append(chat.id)
            yield chat

    answers = popbench.concurrently(source(), completion, limit=3)
    next(answers)
    time.sleep(0.2)
    assert len(pulled) == 3  # none for the answer that was just taken
    assert len(list(answers)) == 8


def test_an_answer_gets_the_seconds_of_its_own_call() -> None:
    async def work(chat: popbench.Chat) -> popbench.Completion:
        await asyncio.sleep(0.2 if chat.seed else 0)
        return popbench.Completion(chat.id, "x", seconds=7.0 if chat.seed == 2 else None)

    seconds = {answer.id: answer.seconds or 0.0 for answer in popbench.concurrently(chats(3), work, limit=3)}
    assert seconds["c0"] < 0.2 <= seconds["c1"] < 5
    assert seconds["c2"] == 7.0


def test_a_client_is_opened_before_the_first_call_and_closed_after_the_last() -> None:
    class Client:
        def __init__(self) -> None:
            self.events: list[str] = []

        async def __aenter__(self) -> None:
            await asyncio.sleep(0.05)
            self.events.append("open")

        async def __aexit__(self, *details: object) -> None:
            self.events.append("close")

        async def __call__(self, chat: popbench.Chat) -> popbench.Completion:
            self.events.append(chat.id)
            return completion(chat)

    client = Client()
    assert len(list(popbench.concurrently(chats(2), client, limit=1))) == 2
    assert client.events == ["open", "c0", "c1", "close"]
    broken = Client()
    answers = popbench.concurrently(chats(5), broken, limit=5)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert broken.events[-1] == "close"


def test_a_client_that_cannot_be_opened_ends_the_component(tmp_path: Path) -> None:
    class Broken:
        async def __aenter__(self) -> None:
            await asyncio.sleep(0.05)  # while the first requests are pulled
            raise popbench.ComponentError("no such proxy")

        async def __aexit__(self, *details: object) -> None:
            raise AssertionError("was never entered")

        async def __call__(self, chat: popbench.Chat) -> popbench.Completion:
            raise AssertionError("was never entered")

    with pytest.raises(popbench.ComponentError, match="no such proxy"):
        list(thread(Concurrent(Broken()), chats(9), tmp_path))


def test_no_requests_give_no_answers_and_a_limit_below_one_is_refused() -> None:
    assert list(popbench.concurrently([], completion, limit=1)) == []
    with pytest.raises(ValueError, match="limit is 0"):
        list(popbench.concurrently(chats(1), completion, limit=0))
    with pytest.raises(TypeError, match=r"retry is 3, expected popbench\.Retry"):
        list(popbench.concurrently(chats(1), completion, limit=1, retry=3))  # type: ignore[call-overload]
    for wrong in ({"attempts": -1}, {"seconds": -1.0}, {"lost_in_a_row": 0}, {"seconds": float("nan")}):
        with pytest.raises(ValueError, match="expected at least"):
            popbench.Retry(**wrong)


# -- stopping and silence


def test_a_stop_wakes_a_component_that_waits_for_calls(tmp_path: Path) -> None:
    calling = threading.Event()

    async def work(chat: popbench.Chat) -> popbench.Completion:
        calling.set()
        await asyncio.sleep(600)
        return completion(chat)

    running = thread(Concurrent(work), chats(3), tmp_path)
    running._wanted.release()
    assert calling.wait(PATIENCE)
    started = time.monotonic()
    running.stop()
    assert time.monotonic() - started < running._grace
    assert not running.alive


def test_waiting_for_the_stage_before_is_no_silence_and_waiting_for_a_call_is(tmp_path: Path) -> None:
    release = threading.Event()

    def slow_source() -> Iterator[popbench.Chat]:
        first, second = chats(2)
        yield first
        release.wait(PATIENCE)
        yield second

    running = thread(Concurrent(completion), slow_source(), tmp_path)
    assert running.next(0.5) is not None
    timer = threading.Timer(1.0, release.set)
    timer.start()
    assert running.next(0.5) is not None  # after a second of waiting for the request

    async def hang(chat: popbench.Chat) -> popbench.Completion:
        await asyncio.sleep(600)
        return completion(chat)

    silent = thread(Concurrent(hang), chats(1), tmp_path)
    with pytest.raises(TimeoutError):
        silent.next(0.5)
    silent.stop()

"""Many calls at once: as many as allowed, none held back, and each failure with the consequence that it has.

What has to happen at the same time is proved by events, not by clocks.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
import time
import urllib.error
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench.engines import ComponentThread, pacing

PATIENCE = 20.0


def chats(count: int) -> list[popbench.Chat]:
    return [popbench.Chat(f"c{number}", (), number, {}) for number in range(count)]


def completion(chat: popbench.Chat) -> popbench.Completion:
    return popbench.Completion(chat.id, f"answer {chat.seed}")


class Concurrent(popbench.LLM):
    """Answers with `work`, through `concurrently`."""

    version = "1"

    def __init__(self, work: Callable[[popbench.Chat], Any], limit: int = 4, **options: Any) -> None:
        super().__init__()
        self._work, self._limit, self._how = work, limit, options

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        yield from popbench.concurrently(chats, self._work, limit=self._limit, **self._how)


def thread(component: popbench.LLM, items: Iterable[popbench.Chat], folder: Path) -> ComponentThread:
    return ComponentThread(component, items, folder, "tested")


def http_error(status: int, **headers: str) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return urllib.error.HTTPError("http://127.0.0.1/v1?key=SECRET", status, f"said {status}", message, None)


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


# -- failures


@pytest.mark.parametrize("error", [KeyError("choices"), ZeroDivisionError("no"), StopIteration(3)])
def test_a_bug_ends_the_component_and_names_it(tmp_path: Path, error: Exception) -> None:
    def work(chat: popbench.Chat) -> popbench.Completion:
        raise error

    with pytest.raises(popbench.ComponentError, match="llm tested raised"):
        list(thread(Concurrent(work, retry=popbench.Retry()), chats(3), tmp_path))


def test_a_call_that_cancels_itself_ends_the_component_instead_of_hanging(tmp_path: Path) -> None:
    async def work(chat: popbench.Chat) -> popbench.Completion:
        raise asyncio.CancelledError

    with pytest.raises(popbench.ComponentError, match="cancelled"):
        list(thread(Concurrent(work), chats(3), tmp_path))


def test_an_error_of_the_requests_is_raised_as_it_is(tmp_path: Path) -> None:
    def source() -> Iterator[popbench.Chat]:
        yield chats(1)[0]
        raise popbench.UsageError("the template fails")

    with pytest.raises(popbench.UsageError, match="the template fails"):
        list(thread(Concurrent(completion), source(), tmp_path))


def test_without_a_policy_what_is_raised_ends_the_calls() -> None:
    def work(chat: popbench.Chat) -> popbench.Completion:
        raise http_error(503)

    with pytest.raises(urllib.error.HTTPError):
        list(popbench.concurrently(chats(1), work, limit=1))


@pytest.mark.parametrize(
    "error",
    [
        http_error(503),
        http_error(429),
        http_error(408),
        ConnectionResetError(),
        TimeoutError(),
        http.client.BadStatusLine(""),
    ],
    ids=lambda error: f"{type(error).__name__}-{getattr(error, 'code', '')}",
)
def test_a_passing_fault_is_tried_again(error: Exception) -> None:
    tries: list[str] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        tries.append(chat.id)
        if len(tries) < 4:
            raise error
        return completion(chat)

    (answer,) = popbench.concurrently(chats(1), work, limit=1, retry=popbench.Retry())
    assert isinstance(answer, popbench.Completion)
    assert len(tries) == 4


def test_a_request_that_never_succeeds_fails_alone_with_what_was_said_last() -> None:
    def work(chat: popbench.Chat) -> popbench.Completion:
        if chat.seed == 1:
            raise http_error(500)
        return completion(chat)

    answers = {a.id: a for a in popbench.concurrently(chats(3), work, limit=1, retry=popbench.Retry(attempts=2))}
    failure = answers.pop("c1")
    assert isinstance(failure, popbench.Failure)
    assert not failure.invalid
    assert failure.error.startswith("no answer in 3 tries in 0 s (last: ")
    assert "said 500" in failure.error
    assert all(isinstance(answer, popbench.Completion) for answer in answers.values())


def test_a_server_that_answers_nobody_ends_the_component(tmp_path: Path) -> None:
    tries: list[str] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        tries.append(chat.id)
        raise ConnectionRefusedError("nobody listens")

    policy = popbench.Retry(attempts=1, lost_in_a_row=3)
    with pytest.raises(popbench.ComponentError, match="nor to 2 requests before"):
        list(thread(Concurrent(work, 1, retry=policy), chats(50), tmp_path))
    assert len(tries) <= 8


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_no_call_can_mend_ends_the_component_at_once_without_the_query_of_its_url(
    tmp_path: Path, status: int
) -> None:
    tries: list[str] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        tries.append(chat.id)
        raise http_error(status)

    with pytest.raises(popbench.ComponentError, match=f"said {status}") as caught:
        list(thread(Concurrent(work, 1, retry=popbench.Retry()), chats(9), tmp_path))
    assert "SECRET" not in str(caught.value)
    assert len(tries) == 1


def test_a_rejected_request_fails_alone_and_is_not_tried_again() -> None:
    tries: list[str] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        tries.append(chat.id)
        if chat.seed == 0:
            raise http_error(422)
        return completion(chat)

    answers = {a.id: a for a in popbench.concurrently(chats(2), work, limit=1, retry=popbench.Retry())}
    assert isinstance(answers["c0"], popbench.Failure)
    assert tries == ["c0", "c1"]


def test_all_calls_pause_for_as_long_as_a_server_asks() -> None:
    started: list[float] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        started.append(time.monotonic())
        if len(started) == 1:
            raise http_error(429, retry_after="0.5")
        return completion(chat)

    assert len(list(popbench.concurrently(chats(3), work, limit=1, retry=popbench.Retry()))) == 3
    assert started[1] - started[0] >= 0.5


def test_errors_of_a_kind_of_ones_own_are_told_apart_by_class_or_by_function() -> None:
    class QueueFullError(Exception):
        pass

    tries: list[str] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        tries.append(chat.id)
        if len(tries) < 3:
            raise QueueFullError
        return completion(chat)

    for kinds in (QueueFullError, (QueueFullError, KeyError), lambda error: isinstance(error, QueueFullError)):
        tries.clear()
        (answer,) = popbench.concurrently(chats(1), work, limit=1, retry=popbench.Retry(transient=kinds))
        assert isinstance(answer, popbench.Completion)


def test_no_more_attempts_start_in_a_minute_than_allowed() -> None:
    started: list[float] = []

    def work(chat: popbench.Chat) -> popbench.Completion:
        started.append(time.monotonic())
        return completion(chat)

    list(popbench.concurrently(chats(4), work, limit=4, per_minute=300))
    assert max(started) - min(started) >= 0.55


def test_the_connection_of_an_error_is_closed_also_where_its_call_was_given_up() -> None:
    body = io.BytesIO(b"overloaded")
    raised, failed = threading.Event(), threading.Event()

    def work(chat: popbench.Chat) -> popbench.Completion:
        if chat.seed:
            failed.set()
            raise popbench.ComponentError("all is over")
        assert failed.wait(PATIENCE)
        time.sleep(0.2)  # the calls have ended by now
        try:
            raise urllib.error.HTTPError("http://127.0.0.1/", 500, "said 500", Message(), body)
        finally:
            raised.set()

    with pytest.raises(popbench.ComponentError, match="all is over"):
        list(popbench.concurrently(chats(2), work, limit=2))
    assert raised.wait(PATIENCE)
    for _ in range(100):
        if body.closed:
            break
        time.sleep(0.02)
    assert body.closed


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

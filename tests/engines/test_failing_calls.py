"""Calls that fail while others are at work: each failure has the consequence that it has, and no more."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
import time
import urllib.error
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

import popbench
from concurrent_calls import PATIENCE, Concurrent, chats, completion, thread
from popbench.engines import pacing


def http_error(status: int, **headers: str) -> urllib.error.HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return urllib.error.HTTPError("http://127.0.0.1/v1?key=SECRET", status, f"said {status}", message, None)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.001)


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

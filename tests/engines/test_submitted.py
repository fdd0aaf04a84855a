"""What a component has submitted is passed on at once, is no answer, and comes back with its request."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import popbench
from popbench import Submitted
from popbench.engines import ComponentThread, answers, pacing
from popbench.records import MAX_JOB_BYTES


def chats(count: int, **more: Any) -> list[popbench.Chat]:
    return [popbench.Chat(f"c{number}", (), number, {}, **more) for number in range(count)]


def completion(chat: popbench.Chat) -> popbench.Completion:
    return popbench.Completion(chat.id, f"answer {chat.seed}")


class Queued(popbench.LLM):
    """Yields what `answer` makes of each chat."""

    version = "1"

    def __init__(self, answer: Callable[[popbench.Chat], Iterable[Any]]) -> None:
        super().__init__()
        self._answer = answer

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[Any]:
        for chat in chats:
            yield from self._answer(chat)


class Concurrent(popbench.LLM):
    """Answers with `work`, through `concurrently`."""

    version = "1"

    def __init__(self, work: Callable[[popbench.Chat], Any], **options: Any) -> None:
        super().__init__()
        self._work, self._how = work, options

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[Any]:
        yield from popbench.concurrently(chats, self._work, limit=4, **self._how)


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://127.0.0.1/v1", status, f"said {status}", Message(), None)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.001)


# -- the stream of answers


def test_it_comes_before_its_answer_as_often_as_it_is_yielded(tmp_path: Path) -> None:
    component = Queued(lambda chat: [Submitted(chat.id, "a"), Submitted(chat.id, {"b": [1]}), completion(chat)])
    for source in (answers(component, chats(2), tmp_path), ComponentThread(component, chats(2), tmp_path)):
        told = [(type(each).__name__, each.id, getattr(each, "job", None)) for each in source]  # type: ignore[union-attr]
        assert told == [
            (kind, f"c{number}", job)
            for number in range(2)
            for kind, job in (("Submitted", "a"), ("Submitted", {"b": [1]}), ("Completion", None))
        ]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (None, "the job of item c0 is None, expected JSON"),
        (b"job", "the job of item c0 is no JSON"),
        (float("nan"), "the job of item c0 is no JSON"),
        ("x" * MAX_JOB_BYTES, "the job of item c0 is 65,538 bytes of JSON, expected JSON of at most 65,536 bytes"),
    ],
)
def test_a_job_that_could_not_be_stored_ends_the_component(job: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(popbench.ComponentError, match=says):
        list(answers(Queued(lambda chat: [Submitted(chat.id, job), completion(chat)]), chats(1), tmp_path))


def test_a_nested_job_without_end_ends_the_component(tmp_path: Path) -> None:
    job: list[Any] = []
    job.append(job)
    with pytest.raises(popbench.ComponentError, match="is no JSON"):
        list(answers(Queued(lambda chat: [Submitted(chat.id, job)]), chats(1), tmp_path))


def test_what_was_not_asked_or_is_answered_cannot_be_submitted(tmp_path: Path) -> None:
    with pytest.raises(popbench.ComponentError, match="submitted item 'x', which it was not asked"):
        list(answers(Queued(lambda chat: [Submitted("x", 1)]), chats(1), tmp_path))
    with pytest.raises(popbench.ComponentError, match="submitted item c0 after its answer"):
        list(answers(Queued(lambda chat: [completion(chat), Submitted(chat.id, 1)]), chats(1), tmp_path))


def test_what_is_submitted_and_not_answered_is_unanswered(tmp_path: Path) -> None:
    with pytest.raises(popbench.ComponentError, match=r"ended early \(2 unanswered\)"):
        list(answers(Queued(lambda chat: [Submitted(chat.id, 1)]), chats(2), tmp_path))


def test_a_wrong_answer_keeps_the_job_once(tmp_path: Path) -> None:
    """Its file may have been cut: that is found out by fetching it again, and not by paying again."""
    wrong = Queued(lambda chat: [Submitted(chat.id, 1), popbench.Completion(chat.id, b"bytes")])  # type: ignore[arg-type]
    for job, kept in ((None, True), (1, False)):
        *_, failure = answers(wrong, chats(1, job=job), tmp_path)
        assert isinstance(failure, popbench.Failure)
        assert failure.keeps_job == kept


# -- many calls at once


async def _async_steps(chat: popbench.Chat) -> AsyncIterator[Any]:
    yield Submitted(chat.id, chat.seed)
    await asyncio.sleep(0.001)
    yield completion(chat)
    raise AssertionError("an answer ends the call")


def _steps(chat: popbench.Chat) -> Iterator[Any]:
    yield Submitted(chat.id, chat.seed)
    time.sleep(0.001)
    yield completion(chat)
    raise AssertionError("an answer ends the call")


class _Called:
    def __call__(self, chat: popbench.Chat) -> AsyncIterator[Any]:
        return _async_steps(chat)


@pytest.mark.parametrize("work", [_async_steps, _steps, lambda chat: _async_steps(chat), _Called()])
def test_work_may_submit_before_it_answers(work: Any, tmp_path: Path) -> None:
    given = list(answers(Concurrent(work), chats(9), tmp_path))
    places = {(type(each).__name__, each.id): place for place, each in enumerate(given)}  # type: ignore[union-attr]
    assert len(places) == len(given) == 18
    assert all(places["Submitted", chat.id] < places["Completion", chat.id] for chat in chats(9))


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_another_attempt_gets_the_job(kind: str, tmp_path: Path) -> None:
    made: list[str] = []
    looks: dict[str, int] = {}

    def steps(chat: popbench.Chat) -> Iterator[Any]:
        if chat.job is None:
            made.append(chat.id)
            yield Submitted(chat.id, {"of": chat.id})
        looks[chat.id] = looks.get(chat.id, 0) + 1
        if looks[chat.id] < 3:
            raise http_error(503)
        yield popbench.Completion(chat.id, str(chat.job))

    async def async_steps(chat: popbench.Chat) -> AsyncIterator[Any]:
        for step in steps(chat):
            yield step

    work = steps if kind == "plain" else async_steps
    given = list(answers(Concurrent(work, retry=popbench.Retry()), chats(5), tmp_path))
    assert sorted(made) == [f"c{number}" for number in range(5)]
    assert {each.text for each in given if isinstance(each, popbench.Completion)} == {str({"of": id_}) for id_ in made}


def test_what_is_raised_about_a_job_keeps_it_and_a_failure_does_not(tmp_path: Path) -> None:
    def steps(chat: popbench.Chat) -> Iterator[Any]:
        yield Submitted(chat.id, 1)
        if chat.seed:
            raise http_error(503 if chat.seed == 1 else 400)
        yield popbench.Failure(chat.id, "it expired")

    component = Concurrent(steps, retry=popbench.Retry(attempts=1))
    kept = {
        each.id: each.keeps_job for each in answers(component, chats(3), tmp_path) if isinstance(each, popbench.Failure)
    }
    assert kept == {"c0": False, "c1": True, "c2": True}


def test_a_call_without_an_answer_ends_the_component(tmp_path: Path) -> None:
    def nothing(chat: popbench.Chat) -> Iterator[Any]:
        yield Submitted(chat.id, 1)

    async def nothing_async(chat: popbench.Chat) -> AsyncIterator[Any]:
        yield Submitted(chat.id, 1)

    for work in (nothing, nothing_async):
        with pytest.raises(popbench.ComponentError, match="the call of c0 ended without an answer"):
            list(answers(Concurrent(work), chats(1), tmp_path))


def test_what_is_returned_instead_of_yielded_ends_the_component(tmp_path: Path) -> None:
    async def returns(chat: popbench.Chat) -> Any:
        return Submitted(chat.id, 1)

    for work in (returns, lambda chat: Submitted(chat.id, 1)):
        with pytest.raises(popbench.ComponentError, match="the call of c0 returned Submitted: it has to yield it"):
            list(answers(Concurrent(work), chats(1), tmp_path))


def test_what_was_submitted_before_a_call_ends_all_others_is_not_lost(tmp_path: Path) -> None:
    stored, failed = threading.Event(), threading.Event()

    def steps(chat: popbench.Chat) -> Iterator[Any]:
        if chat.seed == 0:
            yield completion(chat)
        stored.wait(20)
        if chat.seed == 1:
            failed.set()
            raise http_error(401)
        failed.wait(20)
        yield Submitted(chat.id, 1)
        time.sleep(60)

    source = answers(Concurrent(steps, retry=popbench.Retry()), chats(4), tmp_path)
    next(source)
    stored.set()
    time.sleep(0.5)  # so that the failure stands before what is submitted
    assert [each.id for each in (next(source), next(source))] in (["c2", "c3"], ["c3", "c2"])  # type: ignore[union-attr]
    with pytest.raises(popbench.ComponentError, match="401"):
        next(source)


def test_a_job_may_take_longer_than_failures_are_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After hours of asking about a job, one failure of the network is the first."""
    monkeypatch.setattr("popbench.engines.retry._WELL", 0.05)
    looks = []

    def steps(chat: popbench.Chat) -> Iterator[Any]:
        if chat.job is None:
            yield Submitted(chat.id, 1)
        time.sleep(0.1)
        looks.append(chat.id)
        if len(looks) < 5:
            raise http_error(503)
        yield completion(chat)

    (_, answer) = answers(Concurrent(steps, retry=popbench.Retry(attempts=1, seconds=0.15)), chats(1), tmp_path)
    assert isinstance(answer, popbench.Completion)

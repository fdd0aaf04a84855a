"""What a server does not accept is left out or put otherwise, after few requests, and said with the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import openai_servers as support
import popbench
from openai_servers import ChatServer, ask, chat, done, failed
from popbench.engines import pacing


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)


SYSTEM = [400, "System role not supported"]


def _answers(server: ChatServer, count: int = 6, *, plan: dict[str, Any], **options: Any) -> list[Any]:
    """Answer some chats, one after the other, by a server with a plan."""
    server.reset(**plan)
    chats = [chat(f"n{number}") for number in range(count)]
    found = ask(support.make(server, concurrency=1, **options), chats)
    return [found[one.id] for one in chats]


def _roles(server: ChatServer) -> list[str]:
    return [" ".join(row["roles"]) for row in server.log()]


def test_a_system_message_that_is_refused_is_put_in_front_of_the_users_for_good(server: ChatServer) -> None:
    answers = _answers(server, plan={"no_system": SYSTEM})
    for answer in answers:
        (remark,) = done(answer).remarks
        assert "system message" in remark
    assert _roles(server) == ["system user", *["user"] * 6]


def test_a_system_message_is_merged_or_kept_by_option(server: ChatServer) -> None:
    for answer in _answers(server, plan={"no_system": SYSTEM}, system_role="merge"):
        assert done(answer).remarks == ()
    assert _roles(server) == ["user"] * 6
    kept = failed(_answers(server, 1, plan={"no_system": SYSTEM}, system_role="keep")[0])
    assert "System role not supported" in kept.error
    assert "leave out system_role=keep" in kept.error
    assert _roles(server) == ["system user"]


def test_a_server_that_refuses_system_messages_even_where_there_is_none_is_told(server: ChatServer) -> None:
    raw = '{"object": "error", "message": "System role not supported", "code": 400}'
    failure = failed(_answers(server, 1, plan={"raw": raw})[0])
    assert "system_role=merge" in failure.error
    assert len(server.log()) == 2


def test_the_role_of_system_messages_determines_results_only_where_it_is_set() -> None:
    prints = {role: support.make("http://127.0.0.1:9/v1", system_role=role).fingerprint() for role in ("merge", "keep")}
    default = support.make("http://127.0.0.1:9/v1").fingerprint()
    assert "system_role" not in str(default)
    assert len({str(value) for value in (*prints.values(), default)}) == 3


PYDANTIC = "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'input': '{type}'}]"


@pytest.mark.parametrize("refusal", [[500, PYDANTIC], [422, PYDANTIC], [501, "json_schema is not implemented"]])
def test_a_refusal_of_a_format_costs_one_request_each_whatever_its_status(
    refusal: list[Any], server: ChatServer
) -> None:
    answers = _answers(server, plan={"supports": "none", "refusal": refusal})
    assert len(server.log()) == 6 + 2
    for answer in answers:
        assert done(answer).remarks == ("the server refused a response_format; asked with none",)


@pytest.mark.parametrize("tries", [1, 8])
def test_a_format_that_a_server_fails_at_without_saying_so_is_left_out(tries: int, server: ChatServer) -> None:
    started = time.monotonic()
    plan = {"supports": "none", "refusal": [500, "Internal Server Error"]}
    answers = _answers(server, plan=plan, max_retries=tries)
    for answer in answers:
        assert done(answer).remarks == ("the server failed with response_format json_schema; asked with none",)
    assert len(server.log()) <= 2 * 3 + 4
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("structured", ["auto", "off"])
def test_a_system_message_that_a_server_fails_at_without_saying_so_is_merged(
    structured: str, server: ChatServer
) -> None:
    answers = _answers(server, plan={"no_system": [500, "Internal Server Error"]}, structured=structured)
    for answer in answers:
        (remark,) = done(answer).remarks
        assert remark == "the server failed with a system message; asked with it in front of the user's"
    assert _roles(server)[-4:] == ["user"] * 4
    assert len(server.log()) <= 2 * 4 + 4
    assert all(("response_format" in row["sent"]) == (structured == "auto") for row in server.log()[-4:])


def test_a_system_message_that_is_rejected_in_words_of_its_own_is_merged_at_once(server: ChatServer) -> None:
    answers = _answers(server, plan={"no_system": [400, "Bad message at index 0"]}, max_retries=0)
    for answer in answers:
        (remark,) = done(answer).remarks
        assert "a system message; asked with it in front" in remark
    assert len(server.log()) <= 2 * 3 + 4


def test_a_server_that_fails_at_both_is_asked_without_both(server: ChatServer) -> None:
    failing = [500, ""]
    answers = _answers(server, plan={"no_system": failing, "supports": "none", "refusal": failing})
    for answer in answers:
        assert len(done(answer).remarks) == 2
    assert len(server.log()) <= 2 * 5 + 4


def test_a_format_that_has_worked_is_kept_through_passing_errors(server: ChatServer) -> None:
    server.reset()
    chats = [chat("works"), *(chat(f"stumbles-{n}", first=["500"] * 3) for n in range(3))]
    answers = ask(support.make(server, concurrency=1), chats)
    assert all(done(answer).remarks == () for answer in answers.values())
    assert all(row["sent"]["response_format"]["type"] == "json_schema" for row in server.log())


def test_an_overload_at_the_start_costs_no_format(server: ChatServer) -> None:
    server.reset()
    chats = [chat(f"busy-{n}", first=["503", "529", "429"], retry_after=0.01) for n in range(3)]
    answers = ask(support.make(server, concurrency=1), chats)
    assert all(done(answer).remarks == () for answer in answers.values())


REFUSED = '{"choices": [{"message": {"refusal": "I would rather not."}}], "usage": %s}'
EMPTY = '{"choices": [{"message": {"content": %s}, "finish_reason": "stop"}], "usage": %s}'


def test_a_server_that_answers_with_nothing_is_an_error_after_three_tries(server: ChatServer) -> None:
    for raw in (EMPTY % ("null", "null"), EMPTY % ('""', '{"completion_tokens": 1}')):
        answers = _answers(server, 3, plan={"raw": raw})
        assert all("answered with nothing" in failed(answer).error for answer in answers)
        assert not any(answer.invalid for answer in answers)
        assert len(server.log()) == 9


def test_a_model_that_writes_for_other_prompts_and_not_for_one_has_answered_with_nothing(server: ChatServer) -> None:
    server.reset()
    silent, lost = (
        chat("silent", raw=EMPTY % ('""', "null")),
        chat("lost", raw=EMPTY % ('""', '{"completion_tokens": 90}')),
    )
    answers = ask(support.make(server, concurrency=1), [chat("first"), silent, lost])
    assert done(answers["silent"]).text == ""
    assert "answered with nothing" in failed(answers["lost"]).error
    assert len(server.log()) == 7


def test_an_answer_with_nothing_now_and_then_is_asked_for_again(server: ChatServer) -> None:
    asked = chat("blank", first=["null-content", "null-content"])
    assert done(support.ask_one(server, asked)).text
    assert len(server.log(support.identity(asked))) == 3


def test_tokens_of_refusals_and_of_answers_with_nothing_are_counted(server: ChatServer) -> None:
    server.reset()
    usage = '{"prompt_tokens": 9, "completion_tokens": 2}'
    refused = chat("refused", raw=REFUSED % usage)
    silent = chat("silent", raw=EMPTY % ('""', usage))
    answers = ask(support.make(server, concurrency=1), [chat("first"), refused, silent])
    assert (failed(answers["refused"]).invalid, failed(answers["refused"]).usage) == (True, {"input": 9, "output": 2})
    assert (done(answers["silent"]).text, done(answers["silent"]).usage) == ("", {"input": 27, "output": 6})


def test_an_answer_by_another_model_is_remarked_in_the_same_words_each_time(server: ChatServer) -> None:
    answers = _answers(server, 3, plan={"model": "lab/other-7b"}, model="lab/asked-70b")
    assert {done(answer).remarks for answer in answers} == {("asked lab/asked-70b, answered by lab/other-7b",)}


def test_a_model_that_the_server_does_not_know_ends_the_run_at_once(server: ChatServer) -> None:
    raw = '{"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": null}'
    with pytest.raises(popbench.ComponentError, match="check model="):
        _answers(server, plan={"raw": raw})
    assert len(server.log()) == 1

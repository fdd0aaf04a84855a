"""Consequences of a server's errors: by the words and codes of real servers, and over several calls."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

import openai_servers as support
import popbench
from openai_servers import ChatServer, ask, chat, done, failed
from popbench.engines import pacing
from popbench_openai.calls import Calls
from popbench_openai.faults import Kind, of_connection, of_status
from usage_errors import refusal


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)


_ADD_PAYMENT = "Rate limit reached for gpt-4o. Please add a payment method to your account (account/billing)."


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": _ADD_PAYMENT, "code": "rate_limit_exceeded"}, Kind.PASSING),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, Kind.FATAL),
        (402, {"message": "Insufficient Balance"}, Kind.FATAL),
        (403, {"message": "Your account has insufficient credits"}, Kind.FATAL),
        (403, {"message": "Country not supported"}, Kind.FATAL),
        (403, {"message": "Your input was flagged", "code": 403}, Kind.INVALID),
        (400, {"message": "Content Exists Risk"}, Kind.INVALID),
        (400, {"message": "The 'flagged' field is unknown"}, Kind.ITEM),
        (400, {"message": "seed is not supported"}, Kind.ITEM),
        (503, {"message": "Service overloaded"}, Kind.PASSING),
    ],
)
def test_the_words_of_real_servers_are_understood(status: int, error: dict[str, Any], kind: Kind) -> None:
    assert of_status(status, {"error": error}, None, "KEY", formatted=False).kind is kind


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens, however you requested 9000",
        "Range of input length should be [1, 129024]",
        "Requested token count exceeds the model's maximum",
        "Prompt exceeds max length",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_a_prompt_that_is_too_long_is_told_by_the_rag_size(message: str) -> None:
    fault = of_status(400, {"error": {"message": message}}, None, "KEY", formatted=True)
    assert (fault.kind, "--mode pe,k=N" in fault.remedy) == (Kind.ITEM, True)


@pytest.mark.parametrize("why", ["error", "insufficient_system_resource", "abort"])
def test_an_answer_that_the_server_broke_off_is_asked_for_again(why: str, server: ChatServer) -> None:
    server.reset()
    raw = f'{{"choices": [{{"message": {{"content": "half"}}, "finish_reason": "{why}"}}]}}'
    failure = failed(support.ask_one(server, chat(f"broke-off-{why}", raw=raw), max_retries=2))
    assert not failure.invalid
    assert len(server.log()) == 3


@pytest.mark.parametrize("key", ["x", "0", "none", "EMPTY"])
def test_a_key_that_stands_for_none_changes_no_answer(
    key: str, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(support.KEY_ENV, key)
    text = '{"title": "Six foxes x 10, none EMPTY", "video_prompt": "0 x"}'
    asked = chat(f"short-key-{key}", text=text)
    assert done(support.ask_one(server, asked, api_key_env=support.KEY_ENV)).text == text


def test_the_same_rejection_three_times_before_any_success_ends_the_model(server: ChatServer) -> None:
    server.reset()
    with pytest.raises(popbench.ComponentError, match=r"tiny at .*400"):
        ask(support.make(server, concurrency=1), [chat(f"wrong-{n}", every="400") for n in range(20)])
    assert len(server.log()) == 3


def test_rejections_after_a_success_are_each_told(server: ChatServer) -> None:
    chats = [chat("right"), *(chat(f"refused-{n}", every="400") for n in range(5))]
    answers = ask(support.make(server, concurrency=1), chats)
    assert [isinstance(answers[one.id], popbench.Failure) for one in chats] == [False, True, True, True, True, True]


def test_a_server_that_refuses_now_and_then_is_not_down(server: ChatServer) -> None:
    kinds = ["500", "refusal", "500", "refusal", "500", "refusal"]
    chats = [chat(f"alive-{n}", every=kind) for n, kind in enumerate(kinds)]
    answers = ask(support.make(server, concurrency=1, max_retries=0), chats)
    assert [failed(answers[one.id]).invalid for one in chats] == [False, True] * 3


def test_what_the_environment_holds_for_openai_goes_to_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-0000")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: abc")

    async def headers(url: str) -> str:
        async with Calls(support.make(url)) as calls:  # type: ignore[arg-type]
            return str(dict(calls._client.default_headers)) + str(calls._client.organization)

    sent = asyncio.run(headers("http://127.0.0.1:9/v1"))
    assert not any(secret in sent for secret in ("org-1", "project-1", "abc", "sk-of-openai"))
    assert "org-1" in asyncio.run(headers("https://api.openai.com/v1"))


@pytest.mark.parametrize("name", ["messages", "model", "stream", "n", "response_format", "seed"])
def test_extra_body_cannot_replace_what_popbench_sets(name: str) -> None:
    def make() -> object:
        return support.make("http://127.0.0.1:9/v1", extra_body={name: 1})

    assert f"extra_body cannot hold {name}" in refusal(make)


def test_an_address_where_nobody_ever_answered_is_given_up_soon() -> None:
    with support.serving() as server:
        url = server.url
    llm = support.make(url, concurrency=3)
    with pytest.raises(popbench.ComponentError, match=r"3 tries .*Connection refused.*check that it runs"):
        ask(llm, [chat(f"nobody-{n}") for n in range(9)])
    with pytest.raises(popbench.ComponentError, match="check that it runs"):
        ask(support.make("http://no-such-host.invalid/v1", concurrency=3), [chat(f"no-host-{n}") for n in range(9)])


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ssl.SSLCertVerificationError(1, "bad"), Kind.FATAL, "certificate verify failed"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), Kind.FATAL, "wrong version number"),
        (ConnectionRefusedError(111, "Connect call failed"), Kind.PASSING, "Connection refused"),
        (ConnectionResetError(104, "x"), Kind.PASSING, "Connection reset by peer"),
        (ValueError("no header"), Kind.PASSING, "no header"),
    ],
)
def test_an_error_of_the_transport_is_told_by_its_root(error: Exception, kind: Kind, told: str) -> None:
    outer = RuntimeError("wrapped")
    outer.__cause__ = error
    fault = of_connection(outer)
    assert fault.kind is kind
    assert told in fault.what


@pytest.mark.parametrize(
    "given",
    ["Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "soon", "nan", "-5", "inf", "Wed, 32 Oct 2026 07:28:00 GMT"],
)
def test_a_retry_after_that_says_nothing_is_passed_over(given: str) -> None:
    assert pacing.retry_after({"retry-after": given}) is None


def test_an_absurd_usage_holds_nobody_back_for_more_than_a_minute() -> None:
    pace = pacing.Pace(1000)
    pace.take(1)
    pace.correct(1e9)
    assert pace.take(1) - time.monotonic() < 61


def test_a_cost_of_half_a_usage_is_not_known() -> None:
    llm = support.make("http://127.0.0.1:9/v1", price_in=1, price_out=1)
    assert llm.cost({"input": 10}) is None


def test_prompts_that_a_server_stumbles_over_do_not_keep_the_others_waiting(server: ChatServer) -> None:
    chats = [chat(f"poison-{n}", every="500" if n < 5 else None) for n in range(8)]
    answers = ask(support.make(server, concurrency=1, max_retries=0), chats)
    assert [isinstance(answers[one.id], popbench.Failure) for one in chats] == [True] * 5 + [False] * 3


def test_a_server_that_answers_with_nothing_but_errors_is_given_up(server: ChatServer) -> None:
    server.reset()
    with pytest.raises(popbench.ComponentError, match=r"nor to 11 calls before: check the server"):
        ask(support.make(server, concurrency=1, max_retries=0), [chat(f"all-{n}", every="503") for n in range(30)])
    assert len(server.log()) == 12

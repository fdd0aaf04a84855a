"""What becomes of the errors that providers answer with, as LiteLLM raises them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

import popbench
from popbench import ComponentError as Ended
from popbench_litellm import library
from popbench_litellm.faults import LimitedError, PassingError, RefusedError, RejectedError, judged
from popbench_litellm.hiding import Hider

pytestmark = pytest.mark.skipif(bool(library.missing()), reason=library.missing())

KEY = "sk-faults-test-123456"
GOOGLES_MINUTE = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 7.5s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}],
    }
}


def _anthropic(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "an_error", "message": message}}


def _google(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": "A_STATUS"}}


def _openai(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "an_error", "code": code}}


@contextmanager
def _answering(status: int, body: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _fault(model: str, status: int, body: dict[str, Any]) -> Exception:
    """Return what an answer of a provider is judged to be."""
    from popbench_litellm.calls import Calls
    from popbench_litellm.options import ChatOptions

    async def ask(base: str) -> Exception:
        options = ChatOptions(model=model, api_base=base)
        async with Calls(options, library.facts(model, base), KEY):
            message = {"role": "user", "content": "Hello"}
            try:
                await library.library().acompletion(
                    model=model, api_base=base, api_key=KEY, messages=[message], num_retries=0, max_retries=0
                )
            except Exception as error:
                return judged(error, model, model.partition("/")[0], "MY_KEY", Hider(KEY))
        raise AssertionError("it answered")

    with _answering(status, body) as base:
        return asyncio.run(ask(base))


@pytest.mark.parametrize(
    ("model", "status", "body", "kind", "words"),
    [
        ("gemini/gemini-2.5-flash", 429, GOOGLES_MINUTE, LimitedError, "exceeded your current quota"),
        ("openai/x", 429, _openai("You exceeded your quota", "insufficient_quota"), Ended, "top up"),
        ("openai/x", 402, _openai("Payment required"), Ended, "top up"),
        ("anthropic/x", 400, _anthropic("Your credit balance is too low."), Ended, "top up the account at anthropic"),
        ("openai/x", 400, _openai("content management policy", "content_filter"), RefusedError, "content filter"),
        ("anthropic/x", 400, _anthropic("prompt is too long: 9 tokens > 8 maximum"), RejectedError, "RAG size"),
        ("openai/x", 400, _openai("This model's maximum context length is 8 tokens"), RejectedError, "RAG size"),
        ("openai/x", 403, _openai("not for this key"), Ended, "may not use the model"),
        (
            "gemini/x",
            400,
            _google(400, "API key not valid. Pass a valid one."),
            Ended,
            "check the key in MY_KEY",
        ),
        ("anthropic/x", 404, _anthropic("model: x"), Ended, "check model= and api_base="),
        ("anthropic/x", 422, _anthropic("odd"), RejectedError, "odd: check the options"),
        ("gemini/x", 503, _google(503, "overloaded"), PassingError, "gemini/x: overloaded"),
    ],
)
def test_an_error_has_the_consequence_that_its_kind_has(
    model: str, status: int, body: dict[str, Any], kind: type[Exception], words: str
) -> None:
    fault = _fault(model, status, body)
    assert type(fault) is kind, fault
    assert words in str(fault)
    assert "\n" not in str(fault)
    assert "itellm" not in str(fault)


def test_the_wait_that_google_asks_for_in_the_body_is_kept() -> None:
    fault = _fault("gemini/gemini-2.5-flash", 429, GOOGLES_MINUTE)
    assert isinstance(fault, LimitedError)
    assert fault.headers["retry-after"] == "7.5"


def test_what_is_no_error_of_a_provider_ends_the_model_without_its_key() -> None:
    fault = judged(TypeError(f"no {KEY}"), "openai/x", "openai", None, Hider(KEY))
    assert isinstance(fault, popbench.ComponentError)
    assert str(fault) == "openai/x: LiteLLM raised TypeError: no [key]"

"""Servers of three providers' shapes for tests of LiteLLM, in one thread: Anthropic's, Google's and OpenAI's.

A user's message with a word of `FAULTS` gets that fault at its first attempt; one with a word of `ENDS` ends so.
A riddle is answered in another shape.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-provider-test-QUITEsecret-424242"
KEY_ENV = "POPBENCH_TEST_KEY"
FAULTS = {"crowd": 429, "rush": 529, "wreck": 500}
LASTING = {"endless": (400, "prompt is too long: 210000 tokens > 200000 maximum"), "odd": (400, "an odd request")}
ENDS = {"poison": "refusal", "novel": "cut"}
WAIT = 0.3
"""Seconds that a fault asks to wait."""
MODELS = {"anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash", "openai": "gpt-4o"}
INPUT, OUTPUT = 100, 20
"""The tokens of every whole answer."""

Answer = tuple[int, dict[str, Any]]


class Server(ThreadingHTTPServer):
    """`asked` are the bodies that were answered, by provider; `attempts` the moments of those of each message."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.asked: dict[str, list[dict[str, Any]]] = {name: [] for name in MODELS}
        self.attempts: dict[tuple[str, str], list[float]] = {}
        self.keys: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def base(self, provider: str) -> str:
        """Return the address under which a provider's shape is spoken."""
        return self.url + {"anthropic": "", "gemini": "/v1beta", "openai": "/v1"}[provider]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""

    def times(self, provider: str, text: str) -> list[float]:
        """Return the moments of the attempts of a prompt at a provider."""
        return self.attempts.get((provider, text), [])


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/messages":
            provider, key = "anthropic", self.headers["x-api-key"]
        elif self.path.endswith(":generateContent"):
            provider, key = "gemini", self.headers["x-goog-api-key"]
        elif self.path == "/v1/chat/completions":
            provider, key = "openai", str(self.headers["authorization"]).removeprefix("Bearer ")
        else:
            return self._send(404, {"error": {"message": f"no {self.path}"}})
        model = body.get("model") or self.path.rpartition("/")[2].partition(":")[0]
        text = _text(provider, body)
        with self.server.lock:
            self.server.keys[str(key)] += 1
            attempts = self.server.attempts.setdefault((provider, text), [])
            attempts.append(time.monotonic())
            first = len(attempts) == 1
        if key != KEY:
            return self._fail(provider, 401, f"no such key: {key}")
        if model != MODELS[provider]:
            return self._fail(provider, 404, f"model: {model}")
        for word, status in FAULTS.items():
            if word in text and first:
                return self._fail(provider, status, "later")
        for word, (status, message) in LASTING.items():
            if word in text:
                return self._fail(provider, status, message)
        if "riddle" in text:
            return self._send(200, {"answer": 42})
        with self.server.lock:
            self.server.asked[provider].append(body)
        end = next((end for word, end in ENDS.items() if word in text), "whole")
        number = zlib.crc32(json.dumps([text, body.get("seed", 0)]).encode())
        draft = json.dumps({"title": f"Number {number}", "video_prompt": f"A calm sea, number {number}, at dusk."})
        return self._send(200, _ANSWERS[provider](draft if end == "whole" else draft[:30], end))

    def _fail(self, provider: str, status: int, message: str) -> None:
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        if provider == "anthropic":
            return self._send(
                status, {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}
            )
        if provider == "gemini":
            return self._send(status, {"error": {"code": status, "message": message, "status": "FAILED"}})
        return self._send(status, {"error": {"message": message, "type": "an_error", "code": None}})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        waits = {"retry-after": str(WAIT)} if status in FAULTS.values() else {}
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **waits}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
        """Say nothing."""


def _text(provider: str, body: dict[str, Any]) -> str:
    """Return the user's text of a request."""
    if provider == "gemini":
        return "".join(part.get("text", "") for part in body["contents"][-1]["parts"])
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _anthropic(text: str, end: str) -> dict[str, Any]:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": text}]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": MODELS["anthropic"],
        "content": [] if end == "refusal" else blocks, "stop_sequence": None,
        "stop_reason": {"whole": "end_turn", "cut": "max_tokens", "refusal": "refusal"}[end],
        "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT, "cache_read_input_tokens": 0},
    }  # fmt: skip


def _gemini(text: str, end: str) -> dict[str, Any]:
    parts = [{"text": "Hm.", "thought": True}, {"text": text}]
    candidate = {
        "content": {"role": "model", "parts": [] if end == "refusal" else parts}, "index": 0,
        "finishReason": {"whole": "STOP", "cut": "MAX_TOKENS", "refusal": "SAFETY"}[end],
    }  # fmt: skip
    usage = {
        "promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT - 7, "thoughtsTokenCount": 7,
        "totalTokenCount": INPUT + OUTPUT,
    }  # fmt: skip
    return {
        "candidates": [candidate], "usageMetadata": usage, "modelVersion": MODELS["gemini"], "responseId": "r",
    }  # fmt: skip


def _openai(text: str, end: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "reasoning_content": "Hm."}
    if end == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I would rather not."}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": MODELS["openai"],
        "choices": [{"index": 0, "message": message, "finish_reason": "length" if end == "cut" else "stop"}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
    }  # fmt: skip


_ANSWERS = {"anthropic": _anthropic, "gemini": _gemini, "openai": _openai}


@contextmanager
def serving() -> Iterator[Server]:
    """Serve until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def closed_network() -> Iterator[list[str]]:
    """Let only loopback be reached; yields the list of what else was sought."""
    sought: list[str] = []
    connect, find = socket.socket.connect, socket.getaddrinfo

    def only_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith("127."):
            sought.append(str(address))
            raise OSError("the network is closed")
        connect(self, address)

    def only_names_of_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in (None, "localhost", "127.0.0.1"):
            sought.append(str(host))
            raise socket.gaierror("the network is closed")
        return find(host, *args, **kwargs)

    socket.socket.connect, socket.getaddrinfo = only_here, only_names_of_here  # type: ignore[method-assign,assignment]
    try:
        yield sought
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, find  # type: ignore[method-assign]

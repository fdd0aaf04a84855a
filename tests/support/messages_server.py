"""A server of the Messages API's form for tests, in a thread: it checks what it is sent, and has faults by prompt.

A user's message with one of `FAULTS` gets that fault at its first attempt; one with a word of `ENDS` ends so.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-messages-test-123"
FAULTS = {"crowd": (429, "rate_limit_error"), "rush": (529, "overloaded_error"), "wreck": (500, "api_error")}
ENDS = {"poison": "refusal", "novel": "max_tokens"}


class Server(ThreadingHTTPServer):
    """`asked` are the bodies that were answered, `attempts` counts those of each user's message."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.attempts: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["x-api-key"] != KEY:
            return self._fail(401, "authentication_error", "invalid x-api-key")
        if self.path != "/v1/messages":
            return self._fail(404, "not_found_error", f"no {self.path}")
        body = json.loads(raw)
        if wrong := _wrong(body, self.headers):
            return self._fail(400, "invalid_request_error", wrong)
        text = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.attempts[text] += 1
            first = self.server.attempts[text] == 1
        for word, (status, kind) in FAULTS.items():
            if word in text and first:
                return self._fail(status, kind, "later", {"retry-after": "0.2"})
        with self.server.lock:
            self.server.asked.append(body)
        return self._send(200, _answer(text, body))

    def _fail(self, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"type": "error", "error": {"type": kind, "message": message}}, headers)

    def _send(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has there
        """Say nothing."""


def _wrong(body: dict[str, Any], headers: Any) -> str:
    """Return what is wrong with a request, empty if nothing is."""
    if headers["anthropic-version"] != "2023-06-01":
        return "anthropic-version: header is required"
    if headers["content-type"] != "application/json":
        return "content-type: expected application/json"
    if unknown := body.keys() - {"model", "max_tokens", "messages", "system"}:
        return f"{min(unknown)}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    roles = [message["role"] for message in body["messages"]]
    if set(roles) - {"user", "assistant"} or roles[:1] != ["user"]:
        return f"messages: Unexpected roles {roles}"
    return ""


def _answer(text: str, body: dict[str, Any]) -> dict[str, Any]:
    end = next((reason for word, reason in ENDS.items() if word in text), "end_turn")
    number = zlib.crc32(json.dumps([body["system"], body["messages"]]).encode())
    draft = json.dumps({"title": f"Number {number}", "video_prompt": f"A calm sea, number {number}, at dusk."})
    if end == "max_tokens":
        draft = draft[:30]
    blocks = [{"type": "text", "text": draft[:12]}, {"type": "text", "text": draft[12:]}]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [] if end == "refusal" else [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, *blocks],
        "stop_reason": end,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 3 if end == "refusal" else 20, "cache_read_input_tokens": 0},
    }


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

"""A server of OpenAI's chat protocol for tests. A plan sets its answers and its faults.

It speaks HTTP/1.1 over bare sockets, so that it can send cut and malformed answers. It runs as its own process, prints
its port, and ends with its standard input, at the latest after `LIFETIME` seconds.

The plan is a JSON object with these keys (the other defaults are in `PLAN`):

- `latency`: seconds before an answer, or a range of them; `seed`: of all draws
- `first`: faults of the first attempts at every prompt, one each; `faults`: fault -> rate over all other attempts
- `every`: a fault of every request, once `after` answers were given
- `supports`, `refusing`: the best response_format it takes, and whether it refuses others or ignores them
- `refusal`: status and message of its refusal of a response_format; `no_system`: the same of a system message
- `text`, `finish`, `reasoning`, `model`: parts of the answer; `raw`: its whole body, as it is
- `retry_after`: seconds in 429s; `key`: refuse other keys; `echo`: put the key it was sent into all that it says

A message may hold a plan for its own chat as `<<{...}>>`. `GET /control/log` tells of all requests,
`POST /control/plan` sets the plan, `POST /control/reset` forgets the log and the attempts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

LIFETIME = 280.0
PLAN: Mapping[str, Any] = {
    "latency": 0.0, "seed": 0, "first": [], "faults": {}, "every": None, "after": 0, "supports": "json_schema",
    "refusing": True, "refusal": [400, "Invalid parameter: 'response_format' of type '{type}' is not supported."],
    "no_system": None, "model": None, "text": None, "finish": "stop", "reasoning": {},
    "raw": None, "retry_after": 1, "key": None, "echo": False,
}  # fmt: skip
FORMATS = ("none", "json_object", "json_schema")
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_OWN_PLAN = re.compile(r"<<(\{.*?\})>>", re.DOTALL)
_WORDS = ("quiet", "red", "late", "paper", "wild", "warm", "sudden", "tiny", "first", "loud", "silver", "lost")
_THINGS = ("kite", "harbour", "fox", "lantern", "train", "noodle", "garden", "piano", "storm", "market", "moth")


@dataclass(slots=True)
class Reply:
    """The bytes of an answer, and how they are sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: str = "whole"
    kind: str = "application/json"


@dataclass(slots=True)
class Ask:
    """One chat request: its body, its identity, and its plan."""

    digest: str
    sent: dict[str, Any]
    authorization: str
    plan: Mapping[str, Any]
    attempt: int = 0

    @property
    def roles(self) -> list[str]:
        return [message["role"] for message in self.sent["messages"]]

    @property
    def key(self) -> str:
        return f" (you sent Authorization: {self.authorization})" if self.plan["echo"] else ""

    def draw(self, what: str) -> float:
        """A number in [0, 1) that depends on the plan's seed, the prompt and the attempt alone."""
        return random.Random(f"{self.plan['seed']}/{self.digest}/{self.attempt}/{what}").random()


Make = Callable[[Ask], Reply]


def identify(messages: list[Any], seed: int | None) -> str:
    """Return the identity of a prompt: equal messages with an equal seed are one."""
    return hashlib.blake2b(json.dumps([messages, seed]).encode(), digest_size=8).hexdigest()


def draft(digest: str) -> dict[str, str]:
    """Make a draft from a prompt's digest, which the video prompt ends with."""
    number = int(digest, 16)
    word, thing = _WORDS[number % len(_WORDS)], _THINGS[number // 16 % len(_THINGS)]
    title = f"The {word} {thing}" + " again" * (number % 3)
    return {"title": title, "video_prompt": f"A {word} {thing} at dusk, one slow camera move. #{digest}"}


def completion(ask: Ask) -> dict[str, Any]:
    """Answer without a fault: plain JSON in the requested form, if the server supports that form."""
    plan, asked = ask.plan, ask.sent.get("response_format") or {}
    text = plan["text"]
    if text is None:
        values = draft(ask.digest)
        if asked and FORMATS.index(asked["type"]) > FORMATS.index(plan["supports"]):
            text = f"Sure! Here it is:\n\n{json.dumps(values)}\n\nShall I write another?"
        else:
            names = (asked.get("json_schema") or {}).get("schema", {}).get("properties") or values
            text = json.dumps({name: values.get(name, "I thought about it.") for name in names})
    text += ask.key
    if plan["finish"] == "length":
        text = text[: len(text) * 2 // 3]
    message = {"role": "assistant", "content": text, "refusal": None, **plan["reasoning"]}
    size = sum(len(str(message["content"])) for message in ask.sent["messages"])
    usage: dict[str, Any] = {"prompt_tokens": 1 + size // 4, "completion_tokens": 1 + len(text) // 4}
    if plan["reasoning"]:
        usage["completion_tokens_details"] = {"reasoning_tokens": 7}
    return {
        "id": f"chatcmpl-{ask.digest}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": plan["model"] or ask.sent.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": plan["finish"], "logprobs": None}],
        "usage": {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]},
    }


def _error(status: int, message: str, *, code: object = None, kind: str = "invalid", **more: str) -> Make:
    headers = {name.replace("_", "-"): value for name, value in more.items() if name != "param"}

    def make(ask: Ask) -> Reply:
        told = message.format(model=ask.sent.get("model")) + ask.key
        error = {"message": told, "type": kind, "param": more.get("param"), "code": code}
        wait = float(ask.plan["retry_after"])
        values = {"S": f"{wait:g}", "M": f"{1000 * wait:g}", "D": formatdate(time.time() + wait, usegmt=True)}
        filled = {name: values.get(value, value) for name, value in headers.items()}
        return Reply(status, json.dumps({"error": error}).encode(), filled)

    return make


def _changed(**changes: Any) -> Make:
    """An answer with other parts; None leaves one out."""

    def make(ask: Ask) -> Reply:
        answer = {**completion(ask), **changes}
        return Reply(200, json.dumps({name: value for name, value in answer.items() if value is not None}).encode())

    return make


def _message(**changes: Any) -> Make:
    return lambda ask: _changed(choices=[{"index": 0, "finish_reason": "stop", **changes}])(ask)


def _sound(manner: str) -> Make:
    return lambda ask: Reply(200, json.dumps(completion(ask)).encode(), manner=manner)


_LIMIT = "Rate limit reached for {model}: limit 3 requests per minute."
_WINDOW = "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens."
TRANSIENT: Mapping[str, Make] = {
    "429-seconds": _error(429, _LIMIT, code="rate_limit_exceeded", retry_after="S"),
    "429-date": _error(429, _LIMIT, code="rate_limit_exceeded", retry_after="D"),
    "429-ms": _error(429, _LIMIT, code="rate_limit_exceeded", retry_after_ms="M"),
    "429": _error(429, "Too many requests", kind="requests"),
    "500": _error(500, "The server had an error while processing your request.", kind="server_error"),
    "502-html": lambda ask: Reply(502, HTML + ask.key.encode(), kind="text/html"),
    "503": _error(503, "The engine is currently overloaded, please try again later", kind="server_error"),
    "529": _error(529, "Overloaded", kind="overloaded_error"),
    "408": _error(408, "Request timeout", kind="timeout"),
    "409": _error(409, "Conflict: another request holds the lock", kind="conflict"),
    "error-200": _changed(choices=None, error={"message": "Provider returned error", "code": 502}),
    "broken-json": lambda ask: Reply(200, json.dumps(completion(ask)).encode()[:-30]),
    "empty-body": lambda ask: Reply(200, b""),
    "null-body": lambda ask: Reply(200, b"null"),
    "no-gzip": lambda ask: Reply(200, json.dumps(completion(ask)).encode(), {"Content-Encoding": "gzip"}),
    "html-200": lambda ask: Reply(200, HTML, kind="text/html"),
    "truncated": _sound("truncated"),
    "cut": _sound("cut"),
    "cut-headers": _sound("cut-headers"),
    "no-http": _sound("no-http"),
    "long-header": lambda ask: Reply(200, json.dumps(completion(ask)).encode(), {"X-Trace": "x" * 20_000}),
    "bad-chunks": _sound("bad-chunks"),
    "no-choices": _changed(choices=[]),
    "missing-choices": _changed(choices=None),
    "null-message": _message(message=None),
}
SLOW: Mapping[str, Make] = {"hang": _sound("hang"), "drip": _sound("drip")}
FATAL: Mapping[str, Make] = {
    "insufficient-quota": _error(
        429, "You exceeded your current quota, please check your plan.", code="insufficient_quota", retry_after="S"
    ),
    "401": _error(401, "Incorrect API key provided.", code="invalid_api_key"),
    "402": _error(402, "Insufficient Balance", kind="unknown_error"),
    "403": _error(403, "Your project has no access to model {model}.", code="model_not_allowed"),
    "404": _error(404, "The model `{model}` does not exist.", code="model_not_found"),
    "402-in-200": _changed(choices=None, error={"message": "Insufficient credits", "code": 402}),
}
REJECTED: Mapping[str, Make] = {
    "400": _error(400, "temperature is out of range", param="temperature"),
    "413": _error(413, "Request too large"),
    "422": _error(422, "Input should be a valid list"),
    "context": _error(400, _WINDOW, code="context_length_exceeded", param="messages"),
    "400-in-200": _changed(choices=None, error={"message": "top_k is no option of it", "code": 400}),
    "context-plain": _error(400, _WINDOW, code=400, kind="BadRequestError"),
}
REFUSED: Mapping[str, Make] = {
    "filter-400": _error(400, "The response was filtered.", code="content_filter", param="prompt"),
    "filter-finish": _message(message={"role": "assistant", "content": ""}, finish_reason="content_filter"),
    "flagged-in-200": _changed(choices=None, error={"message": "Flagged by moderation", "code": "403"}),
    "moderation-403": _error(403, "Your input was flagged by moderation.", code="moderation"),
    "refusal": _message(message={"role": "assistant", "content": None, "refusal": "I cannot help with that."}),
}
OTHER: Mapping[str, Make] = {"null-content": _message(message={"role": "assistant", "content": None})}
FAULTS: Mapping[str, Make] = {**TRANSIENT, **SLOW, **FATAL, **REJECTED, **REFUSED, **OTHER}


class Server:
    """The state of the server: plan, log, attempts, and current requests."""

    def __init__(self) -> None:
        self.plan = dict(PLAN)
        self.reset()

    def reset(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.attempts: Counter[str] = Counter()
        self.active = self.most = self.answered = 0

    def read(self, body: bytes, authorization: str) -> Ask:
        """Read a chat request and find the plan for it."""
        sent = json.loads(body)
        own = [json.loads(found) for turn in sent["messages"] for found in _OWN_PLAN.findall(turn["content"])]
        plan = self.plan if not own else {**self.plan, **own[-1]}
        ask = Ask(identify(sent["messages"], sent.get("seed")), sent, authorization, plan)
        self.attempts[ask.digest] += 1
        ask.attempt = self.attempts[ask.digest]
        return ask

    def fault(self, ask: Ask) -> str | None:
        plan = ask.plan
        if plan["every"] and self.answered >= plan["after"]:
            return str(plan["every"])
        if ask.attempt <= len(plan["first"]):
            return str(plan["first"][ask.attempt - 1])
        left = ask.draw("fault")
        for name, rate in plan["faults"].items():
            left -= rate
            if left < 0:
                return str(name)
        return None

    def reply(self, ask: Ask, fault: str | None) -> Reply:
        if ask.plan["key"] is not None and ask.authorization != f"Bearer {ask.plan['key']}":
            return FAULTS["401"](ask)
        if fault is not None:
            return FAULTS[fault](ask)
        asked = (ask.sent.get("response_format") or {}).get("type", "none")
        if ask.plan["refusing"] and FORMATS.index(asked) > FORMATS.index(ask.plan["supports"]):
            status, message = ask.plan["refusal"]
            return _error(status, message.replace("{type}", asked).replace("{", "{{").replace("}", "}}"))(ask)
        if ask.plan["no_system"] is not None and "system" in ask.roles:
            status, message = ask.plan["no_system"]
            return _error(status, message)(ask)
        if ask.plan["raw"] is not None:
            return Reply(200, ask.plan["raw"].encode("utf-8", "surrogatepass"))
        return Reply(200, json.dumps(completion(ask)).encode())

    def control(self, path: str, body: bytes) -> bytes:
        """Answer what is asked about the server itself."""
        if path == "/control/plan":
            self.plan = {**PLAN, **json.loads(body)}
        elif path == "/control/reset":
            self.reset()
        return json.dumps({"requests": self.log, "most": self.most, "active": self.active}).encode()


class Connection(asyncio.Protocol):
    """The connection of one client, with one request after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = bytearray()
        self.transport: Any = None
        self.timer: asyncio.TimerHandle | None = None
        self.row: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect a request; answer it once it is whole."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        stop = end + 4 + int(headers.get("content-length", 0))
        if len(self.buffer) < stop:
            return
        body, self.buffer = bytes(self.buffer[end + 4 : stop]), self.buffer[stop:]
        path = first.split(" ")[1]
        if path.startswith("/control/"):
            self.send(Reply(200, self.server.control(path, body)))
        elif path.endswith("/chat/completions"):
            self.begin(self.server.read(body, headers.get("authorization", "")))
        else:
            self.send(Reply(404, b'{"error": {"message": "no such path"}}'))

    def begin(self, ask: Ask) -> None:
        """Note a chat request and answer it after its latency."""
        server = self.server
        fault = server.fault(ask)
        sent = {name: value for name, value in ask.sent.items() if name != "messages"}
        self.row = {"id": ask.digest, "attempt": ask.attempt, "start": time.monotonic(), "end": None, "status": None,
                    "fault": fault, "sent": sent, "roles": ask.roles, "authorization": ask.authorization}  # fmt: skip
        server.log.append(self.row)
        server.active += 1
        server.most = max(server.most, server.active)
        latency = ask.plan["latency"]
        if isinstance(latency, list):
            latency = latency[0] + (latency[1] - latency[0]) * ask.draw("latency")
        if latency:
            self.timer = asyncio.get_running_loop().call_later(latency, self.finish, ask, fault)
        else:
            self.finish(ask, fault)

    def finish(self, ask: Ask, fault: str | None) -> None:
        """Answer, unless this attempt is never to end."""
        reply = self.server.reply(ask, fault)
        if reply.manner in ("hang", "drip"):
            if reply.manner == "drip":
                self.transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
                )
                self.drip()
            return
        self.server.answered += reply.status == 200 and fault is None
        self.end(reply.status)
        self.send(reply)

    def drip(self) -> None:
        """Send a blank now and then, which is valid JSON so far."""
        self.transport.write(b" ")
        self.timer = asyncio.get_running_loop().call_later(0.1, self.drip)

    def end(self, status: int | None) -> None:
        """Note that the request at work is over; None where the client went away."""
        if self.row is not None:
            self.row |= {"end": time.monotonic(), "status": status}
            self.row = None
            self.server.active -= 1

    def send(self, reply: Reply) -> None:
        """Put a reply on the wire in its manner."""
        told = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body)), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        head = f"HTTP/1.1 {reply.status} Told\r\n{lines}\r\n".encode("latin-1")
        match reply.manner:
            case "whole":
                self.transport.write(head + reply.body)
                return
            case "truncated":
                self.transport.write(head + reply.body[: len(reply.body) // 2])
            case "cut-headers":
                self.transport.write(head[:40])
            case "no-http":
                self.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n")
            case "bad-chunks":
                self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + reply.body)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.end(None)


async def serve(port: int) -> None:
    server = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=2048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    loop.call_later(LIFETIME, over.set)
    await over.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))

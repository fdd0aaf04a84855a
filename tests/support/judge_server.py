"""A server of the OpenAI protocol whose model sees: it decodes the pictures, and marks a clip by their brightness."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import popbench
from popbench.engines import pacing
from popbench.registry import load_registry
from popbench.video import write_mp4

KEY_ENV, KEY = "POPBENCH_JUDGE_TEST_KEY", "sk-judge-5151515151QUITEsecret"
USAGE = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}


@dataclass(frozen=True)
class Asked:
    """A request as the server understood it."""

    text: str
    pictures: tuple[Any, ...]
    formats: tuple[str, ...]
    pictures_first: bool
    criteria: tuple[str, ...]
    body: Mapping[str, Any]
    key: str
    sides: tuple[tuple[Any, ...], ...] = ()
    """The pictures after each text but the last: of two clips, those of the first and of the second."""

    @property
    def choice(self) -> str:
        """Which of two clips is brighter: `first` or `second`."""
        first, second = (float(np.mean([picture.mean() for picture in side])) for side in self.sides)
        return "first" if first > second else "second"

    @property
    def brightness(self) -> float:
        """The mean brightness of the pictures, from 0 to 10."""
        return float(np.mean([picture.mean() for picture in self.pictures])) / 25.5

    @property
    def prompt(self) -> str:
        """What the rubric says that a user had asked for."""
        found = re.search(r"What a user had asked for: (.*)", self.text)
        return found[1] if found else ""

    def marks(self) -> dict[str, float]:
        """Return what this judge makes of it: the score is the brightness, and the criteria are shares of that."""
        shares = {name: self.brightness / (1 + len(name)) for name in self.criteria}
        return {**shares, "score": self.brightness}


Reply = Callable[[Asked], Any]
"""Returns the text of an answer, a status with a body, or a whole body."""


@dataclass
class JudgeServer:
    """What the server has seen, and how it answers: by `first` in their order, and then by `reply`."""

    url: str = ""
    reply: Reply = lambda asked: json.dumps(asked.marks())
    first: list[Reply] = field(default_factory=list)
    latency: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: Mapping[str, Any], key: str) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        (message,) = body["messages"]
        kinds = [part["type"] for part in message["content"]]
        *names, text = [part["text"] for part in message["content"] if part["type"] == "text"]
        heads, pictures = [], []
        sides: list[list[Any]] = []
        for part in message["content"]:
            if part["type"] == "text":
                sides.append([])
            else:
                head, data = part["image_url"]["url"].split(",", 1)
                heads.append(head)
                pictures.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True)))))
                if names:
                    sides[-1].append(pictures[-1])
        named = re.findall(r'"([^"]+)"', text.rpartition("in this order: ")[2])
        asked = Asked(text, tuple(pictures), tuple(heads), kinds[0] != "text", tuple(named[:-1]), body, key)
        if names:
            assert names == ["The first video:", "The second video:"]
            asked = replace(asked, sides=tuple(map(tuple, sides[:-1])))
        with self._lock:
            self.asked.append(asked)
            reply = self.first.pop(0) if self.first else self.reply
        time.sleep(self.latency)
        said = reply(asked)
        if isinstance(said, tuple):
            return said
        return 200, said if isinstance(said, dict) else chat_body(said)


def chat_body(text: str | None, end: str = "stop", **message: Any) -> dict[str, Any]:
    """Return the body of an answer."""
    return {
        "object": "chat.completion",
        "model": "seer",
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": end}],
        "usage": USAGE,
    }


@contextmanager
def serving() -> Iterator[JudgeServer]:
    """Run a server for the time of the block."""
    server = JudgeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = server.answer(body, self.headers.get("Authorization", ""))
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", len(data))):
                self.send_header(name, str(value))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class has it
            """Say nothing on standard error."""

        def handle(self) -> None:
            """Serve, until the other side is gone, as after a kill."""
            with suppress(ConnectionError):
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{listening.server_port}/v1"
        yield server
        listening.shutdown()


@contextmanager
def prepared(monkeypatch: pytest.MonkeyPatch, reply: Reply | None = None) -> Iterator[JudgeServer]:
    """Run a server for the time of the block, with its key in the environment and short pauses between tries."""
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    monkeypatch.setenv(KEY_ENV, KEY)
    with serving() as server:
        server.reply = reply or server.reply
        yield server


def choose(asked: Asked) -> str:
    """Answer as a judge of pairs that prefers the brighter clip, and has no other preference."""
    return json.dumps({"better": asked.choice})


def clip(folder: Path, name: str, levels: Sequence[int], height: int = 48, width: int = 64) -> Path:
    """Write a clip with one level of grey in each frame."""
    path = folder / f"{name}.mp4"
    write_mp4(np.stack([np.full((height, width, 3), level, np.uint8) for level in levels]), 8, path)
    return path


def written(name: str, options: Mapping[str, Any]) -> str:
    """Return a spec with options that are no texts as JSON."""
    shown = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    return ",".join([name, *(f"{key}={value or chr(34) * 2}" for key, value in shown.items())])


def marks_of(judge: Any, *items: popbench.ScoreRequest) -> dict[str, Any]:
    """Return a judge's answers by id, and close it."""
    try:
        return {answer.id: answer for answer in judge.score(iter(items))}
    finally:
        judge.close()


def spec(server: JudgeServer | str, name: str = "judge", /, **options: Any) -> str:
    """Return the spec of a judge at a server; it shows two small frames, once, unless `options` say otherwise."""
    url = server if isinstance(server, str) else server.url
    values = {"model": "seer", "base_url": url, "frames": 2, "draws": 1, "api_key_env": KEY_ENV, **options}
    return written(name, values)


def make(server: JudgeServer | str, name: str = "judge", /, **options: Any) -> Any:
    """Make the judge of a server."""
    return load_registry().resolve("predictor", spec(server, name, **options)).component


def ask(server: JudgeServer, *items: popbench.ScoreRequest, **options: Any) -> dict[str, Any]:
    """Return the answers of a server's judge by id."""
    return marks_of(make(server, **options), *items)


def compare(server: JudgeServer, *items: popbench.CompareRequest, **options: Any) -> dict[str, Any]:
    """Return the answers of a judge of pairs by id."""
    judge = make(server, "judge-pairwise", **options)
    try:
        return {answer.id: answer for answer in judge.compare(iter(items))}
    finally:
        judge.close()

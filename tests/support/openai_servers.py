"""Helpers of the OpenAI plugin's tests: test servers, chats with a plan for the server, and a real server."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chat_server
import popbench
from popbench.prompting.drafts import DRAFT_SCHEMA
from popbench.records import Answer, Chat, Completion, Failure, Message
from popbench.registry import load_registry
from server_processes import PlannedServer

KEY_ENV = "POPBENCH_TEST_KEY"
KEY = "sk-test-4242424242abcdefQUITEsecret"
"""The key that no file and no output may ever show."""

_DIGEST = re.compile(r"#([0-9a-f]{16})")


class ChatServer(PlannedServer):
    """A `chat_server` process. That module describes plans."""

    def __init__(self, port: int = 0, **plan: Any) -> None:
        super().__init__("chat_server.py", port)
        self.plan(**plan)

    def reset(self, **plan: Any) -> None:
        """Forget all requests, and behave so from now on."""
        self.plan(**plan)
        self.control("reset")

    def log(self, digest: str | None = None) -> list[dict[str, Any]]:
        """Return the requests so far, of one prompt or of all, in their order."""
        rows: list[dict[str, Any]] = self.control("log")["requests"]
        return [row for row in rows if digest in (None, row["id"])]

    def most(self) -> int:
        """Return how many requests were at work at once, at most."""
        return int(self.control("log")["most"])

    def active(self) -> int:
        """Return how many requests are at work now."""
        return int(self.control("log")["active"])


@contextmanager
def serving(port: int = 0, **plan: Any) -> Iterator[ChatServer]:
    """Run a server for the time of the block."""
    server = ChatServer(port, **plan)
    try:
        yield server
    finally:
        server.stop()


def spec(server: ChatServer | str, **options: Any) -> str:
    """Return the spec of a model at a server. It has no key unless `api_key_env` names a variable."""
    url = server if isinstance(server, str) else server.url
    values = {"model": "tiny", "base_url": url, "api_key_env": "", **options}
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return ",".join(["openai", *(f"{name}={value or chr(34) * 2}" for name, value in shown.items())])


def make(server: ChatServer | str, **options: Any) -> popbench.LLM:
    """Make the plugin's model for a server."""
    component = load_registry().resolve("llm", spec(server, **options)).component
    assert isinstance(component, popbench.LLM)
    return component


def chat(id_: str, *, prompt: str = "A cat", seed: int = 1, reasons: bool = False, **plan: Any) -> Chat:
    """Make a chat that asks for a draft, with the server's plan in its message. Ids make the messages differ."""
    written = json.dumps(plan).replace(">", "\\u003e")
    told = f" <<{written}>>" if plan else ""
    system = "Think it over, then write one JSON object." if reasons else "Write one JSON object."
    messages = (
        Message(role="system", content=f"{system} It has the keys title and video_prompt."),
        Message(role="user", content=f"Request {id_}: {prompt}{told}"),
    )
    return Chat(id_, messages, seed, DRAFT_SCHEMA, prompt, (), reasons)


def ask(llm: popbench.LLM, chats: Iterable[Chat]) -> dict[str, Completion | Failure]:
    """Return the answers to chats, one for each, and close the model."""
    answers: dict[str, Completion | Failure] = {}
    try:
        for answer in llm.generate(chats):
            assert answer.id not in answers
            assert not isinstance(answer, popbench.Submitted)
            answers[answer.id] = answer
    finally:
        llm.close()
    return answers


def ask_one(server: ChatServer | str, chat: Chat, **options: Any) -> Completion | Failure:
    """Return the answer to one chat."""
    return ask(make(server, **options), [chat])[chat.id]


def identity(chat: Chat, *, seed: bool = True) -> str:
    """Return the server's identity of a chat, with its seed or without."""
    return chat_server.identify(list(chat.messages), chat.seed if seed else None)


def done(answer: Answer) -> Completion:
    """Return the answer as a completion; fails for a failure."""
    assert isinstance(answer, Completion), answer
    return answer


def failed(answer: Answer) -> Failure:
    """Return the answer as a failure with a message of one line; fails for a completion."""
    assert isinstance(answer, Failure), answer
    assert answer.error
    assert "\n" not in answer.error
    assert "Traceback" not in answer.error
    return answer


def digests(run: Path) -> set[str]:
    """Return the server's answers that a run has committed, also while another process writes it."""
    path = run / "ledger.sqlite"
    if not path.exists():
        return set()
    ledger = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        rows = ledger.execute("SELECT payload FROM calls WHERE stage = 'write'").fetchall()
    except sqlite3.OperationalError:  # the table is not there yet
        rows = []
    finally:
        ledger.close()
    return {found for (payload,) in rows for found in _DIGEST.findall(payload)}


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition; return whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def threads() -> set[str]:
    """Return the names of this process's threads."""
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}


def holders(text: str, folder: Path) -> list[str]:
    """Return the files below a folder with a text in their name or bytes."""
    sought = text.encode()
    return [
        str(path) for path in folder.rglob("*") if text in path.name or (path.is_file() and sought in path.read_bytes())
    ]


def resident_mb(pid: int | str = "self") -> float:
    """Return the memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(url: str, count: int, concurrency: int) -> None:
    """Answer many chats in this process and print time and memory; `grown` is the growth in the second half."""
    started, answered, halfway = resident_mb(), set(), 0.0
    clock = time.perf_counter()
    chats = (chat(str(number)) for number in range(count))
    for answer in make(url, concurrency=concurrency).generate(chats):
        assert isinstance(answer, Completion)
        answered.add(answer.id)
        if len(answered) == count // 2:
            halfway = resident_mb()
    seconds = time.perf_counter() - clock
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"answered": len(answered), "seconds": seconds, "above_mb": int(peak.split()[1]) / 1e3 - started,
                      "grown_mb": resident_mb() - halfway}))  # fmt: skip


def measure_apart(url: str, count: int, concurrency: int) -> dict[str, float]:
    """Run `measure` in a child process."""
    code = f"import openai_servers; openai_servers.measure({url!r}, {count}, {concurrency})"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    measured: dict[str, float] = json.loads(process.stdout)
    return measured

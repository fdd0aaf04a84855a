"""The LLM over HTTP that the documentation shows stands the faults of a server, and the window is used in full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import openai_servers as support
import popbench
from openai_servers import ChatServer, chat
from popbench.engines import pacing

PAGE = Path(__file__).parents[2] / "docs/how-to/write-a-plugin.md"


def documented() -> tuple[Any, int]:
    """Return the class that the page shows, and the number of its lines."""
    (source,) = re.findall(
        r"^```python\n(import json\n.*?class Served.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(source, str(PAGE), "exec"), names)
    return names["Served"], len([line for line in source.splitlines() if line.strip()])


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with support.serving() as server:
        yield server


def asked(server: ChatServer, chats: list[popbench.Chat]) -> dict[str, Any]:
    made, _ = documented()
    component = made(made.Options(url=f"{server.url}/chat/completions", concurrency=8))
    return {answer.id: answer for answer in component.generate(chats)}


def test_it_takes_25_lines() -> None:
    assert documented()[1] <= 25


def test_it_answers_every_chat_through_the_faults_that_pass(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.01)
    server.reset()
    server.plan(first=["500", "429", "truncated", "broken-json", "502-html"], retry_after=0)
    answers = asked(server, [chat(str(number)) for number in range(24)])
    assert len(answers) == 24
    assert all(isinstance(answer, popbench.Completion) and answer.usage for answer in answers.values())


def test_it_ends_on_a_key_that_the_server_does_not_take(server: ChatServer) -> None:
    server.reset()
    server.plan(key="another")
    with pytest.raises(popbench.ComponentError, match=r"401: .*key"):
        asked(server, [chat("1"), chat("2")])

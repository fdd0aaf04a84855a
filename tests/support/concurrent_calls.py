"""A component that answers chats with a function, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import popbench
from popbench.engines import ComponentThread

PATIENCE = 20.0


def chats(count: int) -> list[popbench.Chat]:
    """Return chats with the ids c0, c1, ..., and their numbers as seeds."""
    return [popbench.Chat(f"c{number}", (), number, {}) for number in range(count)]


def completion(chat: popbench.Chat) -> popbench.Completion:
    """Answer a chat with its seed."""
    return popbench.Completion(chat.id, f"answer {chat.seed}")


class Concurrent(popbench.LLM):
    """Answers with `work`, through `concurrently`."""

    version = "1"

    def __init__(self, work: Callable[[popbench.Chat], Any], limit: int = 4, **options: Any) -> None:
        super().__init__()
        self._work, self._limit, self._how = work, limit, options

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        yield from popbench.concurrently(chats, self._work, limit=self._limit, **self._how)


def thread(component: popbench.LLM, items: Iterable[popbench.Chat], folder: Path) -> ComponentThread:
    """Ask a component in a thread of its own."""
    return ComponentThread(component, items, folder, "tested")

"""How much of the time of concurrent calls is waiting: 200 calls of half a second, 50 at once, through `concurrently`.

Prints the time of all answers against the least that is possible (2.00 s), with coroutines and with plain functions.

    .venv/bin/python tests/benchmarks/concurrent_calls.py
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import popbench
from popbench.engines import ComponentThread

CALLS, AT_ONCE, SECONDS = 200, 50, 0.5


class Waiting(popbench.LLM):
    """Answers after half a second."""

    version = "1"

    def __init__(self, work: Callable[[popbench.Chat], Any]) -> None:
        super().__init__()
        self._work = work

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        yield from popbench.concurrently(chats, self._work, limit=AT_ONCE)


async def coroutine(chat: popbench.Chat) -> popbench.Completion:
    await asyncio.sleep(SECONDS)
    return popbench.Completion(chat.id, "x")


def function(chat: popbench.Chat) -> popbench.Completion:
    time.sleep(SECONDS)
    return popbench.Completion(chat.id, "x")


def main() -> None:
    least = CALLS / AT_ONCE * SECONDS
    chats = [popbench.Chat(str(number), (), number, {}) for number in range(CALLS)]
    for work in (coroutine, function):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            answers = sum(1 for _ in ComponentThread(Waiting(work), chats, Path(folder)))
            seconds = time.perf_counter() - started
        print(f"{work.__name__}: {answers} answers in {seconds:.2f} s, {seconds / least:.3f} of the least possible")


if __name__ == "__main__":
    main()

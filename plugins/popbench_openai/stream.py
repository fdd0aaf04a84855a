"""Makes many calls at once for an iterator of chats, in an event loop that has its own thread.

The thread that calls `generate` pulls chats and yields answers. The loop's thread makes the calls, so that they go on
while an answer is being stored. A few chats are pulled in advance, so that a free slot is used at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from typing import Protocol

import popbench

Answer = popbench.Completion | popbench.Failure

_END_SECONDS = 5.0
"""Seconds for the loop to end. Its thread is a daemon, so the process does not wait longer."""


class Caller(Protocol):
    """Makes the calls, inside the loop."""

    async def __aenter__(self) -> object:
        """Open connections."""

    async def __aexit__(self, *details: object) -> None:
        """Close connections."""

    def answer(self, chat: popbench.Chat) -> Awaitable[Answer]:
        """Answer one chat. An exception ends all calls."""


def answer_all(caller: Caller, chats: Iterable[popbench.Chat], concurrency: int) -> Iterator[Answer]:
    """Yield answers as they come, with at most `concurrency` calls at once; raises what `answer` raises."""
    source = iter(chats)
    loop = _Loop(caller, concurrency)
    waiting, more = 0, True
    try:
        while True:
            while more and waiting < 2 * concurrency:
                chat = next(source, None)
                if chat is None:
                    more = False
                    break
                loop.ask(chat)
                waiting += 1
                if loop.has_answer:
                    break
            if not waiting:
                return
            yield loop.take()
            loop.stored()
            waiting -= 1
    finally:
        loop.stop()


class _Loop:
    """The event loop, its thread, and the queues of chats and of answers."""

    def __init__(self, caller: Caller, concurrency: int) -> None:
        self._caller = caller
        self._concurrency = concurrency
        self._answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        self._chats: asyncio.Queue[popbench.Chat] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(concurrency)
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="popbench-openai-calls", daemon=True)
        self._thread.start()

    def ask(self, chat: popbench.Chat) -> None:
        """Queue a chat, to be answered as soon as a slot is free."""
        with suppress(RuntimeError):  # the loop has ended: `take` raises the reason
            self._loop.call_soon_threadsafe(self._chats.put_nowait, chat)

    @property
    def has_answer(self) -> bool:
        """Return whether `take` would return at once."""
        return not self._answers.empty()

    def stored(self) -> None:
        """Free the slot of a taken answer, which is stored now."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._slots.release)

    def take(self) -> Answer:
        """Wait for an answer; raises the exception that ended the loop."""
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """Cancel calls and close all connections."""
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:  # raised in the thread that waits for answers
            self._answers.put(error)
        finally:
            self._loop.close()

    async def _work(self) -> None:
        async with self._caller:
            workers = [asyncio.create_task(self._worker()) for _ in range(self._concurrency)]
            await self._stopped.wait()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self) -> None:
        while True:
            chat = await self._chats.get()
            await self._slots.acquire()
            try:
                answer = await self._caller.answer(chat)
            except Exception as error:  # no call can succeed: stop the others
                self._answers.put(error)
                self._stopped.set()
                return
            self._answers.put(answer)

"""From an iterator of chats to many calls at once and back: an event loop in a thread of its own.

The thread that calls `generate` pulls chats and hands over answers; the loop's thread makes calls, so that they
go on while an answer is being stored. A few chats wait ready beside those at work: a free place is taken at once.
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

_PATIENCE = 5.0
"""Seconds that the loop has to end in; its thread is a daemon and keeps nobody beyond that."""


class Caller(Protocol):
    """What makes the calls, inside the loop."""

    async def __aenter__(self) -> object:
        """Open connections."""

    async def __aexit__(self, *details: object) -> None:
        """Close them."""

    def answer(self, chat: popbench.Chat) -> Awaitable[Answer]:
        """Answer one chat; raises what ends all of them."""


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
    """The event loop, its thread, and the two queues between them and the world."""

    def __init__(self, caller: Caller, concurrency: int) -> None:
        self._caller = caller
        self._concurrency = concurrency
        self._answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        self._chats: asyncio.Queue[popbench.Chat] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._places = asyncio.Semaphore(concurrency)
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="popbench-openai-calls", daemon=True)
        self._thread.start()

    def ask(self, chat: popbench.Chat) -> None:
        """Have a chat answered as soon as a place is free."""
        with suppress(RuntimeError):  # it has ended: `take` tells why
            self._loop.call_soon_threadsafe(self._chats.put_nowait, chat)

    @property
    def has_answer(self) -> bool:
        """Whether `take` would return at once."""
        return not self._answers.empty()

    def stored(self) -> None:
        """Free the place of an answer that was taken: it is safe now."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._places.release)

    def take(self) -> Answer:
        """Wait for an answer; raises what ended the loop."""
        found = self._answers.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Cancel what is at work and close all connections."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:  # the thread that waits for answers must hear of it
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
            await self._places.acquire()
            try:
                found = await self._caller.answer(chat)
            except Exception as error:  # no call can succeed: the others are not to try
                self._answers.put(error)
                self._stopped.set()
                return
            self._answers.put(found)

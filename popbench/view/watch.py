"""Looks for what is new while somebody looks at the page, and tells all listeners."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

from popbench.records import JSON
from popbench.view.runs import Runs

EVERY = 1.0
"""Seconds between two looks; more where a look takes longer, so that a run at work keeps its processors."""
_SHARE = 4
"""Times that a look took, for which none follows."""
_KEEP_ALIVE = 15.0
"""Seconds after which a listener is told something even if nothing is new: else a vanished one would stay."""


class Watch:
    """Looks at the runs again and again, as long as somebody listens."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._listeners: Counter[str] = Counter()
        """How many listen to each run, or with an empty name to the list of all."""
        self._told: dict[str, JSON] = {}
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        """Set when the server ends."""

    @property
    def listeners(self) -> int:
        """How many pages listen."""
        return self._listeners.total()

    def start(self) -> None:
        """Begin to look, in the running event loop."""
        self._task = asyncio.create_task(self._look())

    async def close(self) -> None:
        """End all listeners, and the looking."""
        self.over.set()
        async with self._changed:
            self._changed.notify_all()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def listen(self, name: str) -> AsyncIterator[JSON]:
        """Yield what is known of a run, or of all with an empty name, whenever it changes; None if nothing does."""
        self._listeners[name] += 1
        self._wanted.set()
        told: JSON = None

        def news() -> bool:
            return self.over.is_set() or (name in self._told and self._told[name] is not told)

        try:
            while not self.over.is_set():
                try:
                    async with self._changed:
                        await asyncio.wait_for(self._changed.wait_for(news), _KEEP_ALIVE)
                except TimeoutError:
                    yield None
                else:
                    told = self._told.get(name, told)
                    if not self.over.is_set():
                        yield told
        finally:
            self._listeners[name] -= 1
            if not self._listeners[name]:
                del self._listeners[name]
                self._told.pop(name, None)

    async def _look(self) -> None:
        while True:
            if not self._listeners:
                self._wanted.clear()
                await self._wanted.wait()
            began = time.monotonic()
            for name in [*self._listeners]:
                known = await asyncio.to_thread(self._of, name)
                if name in self._listeners and known != self._told.get(name):
                    self._told[name] = known
                    async with self._changed:
                        self._changed.notify_all()
            with suppress(TimeoutError):
                self._wanted.clear()
                await asyncio.wait_for(self._wanted.wait(), max(EVERY, _SHARE * (time.monotonic() - began)))

    def _of(self, name: str) -> JSON:
        try:
            return (self._runs.details(name) or {"gone": True}) if name else self._runs.overview()
        except sqlite3.Error:  # its index was closed meanwhile, since the run changed: the next look has a new one
            return self._told.get(name)

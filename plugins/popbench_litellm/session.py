"""Calls of LiteLLM's asynchronous functions in one event loop, and what has to be ended after them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from popbench_litellm.library import hush, library

_START_SECONDS = 0.5
"""LiteLLM begins a call in another thread. One that is cancelled before leaves a coroutine that nobody awaits."""


class Session:
    """All calls of one `generate`."""

    def __init__(self) -> None:
        self._litellm = library()
        hush()
        self._open: set[asyncio.Task[Any]] = set()

    async def call(self, function: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """Return what one of LiteLLM's functions comes to; raises TimeoutError after so many seconds."""
        call = asyncio.create_task(function)
        self._open.add(call)
        call.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(call)
        except TimeoutError:
            call.cancel()
            raise

    def _ended(self, call: asyncio.Task[Any]) -> None:
        self._open.discard(call)
        if not call.cancelled():
            call.exception()  # or asyncio tells that nobody has asked for it

    async def close(self) -> None:
        """End what LiteLLM has left in this event loop: its tasks and its connections."""
        if self._open:
            await asyncio.wait(self._open, timeout=_START_SECONDS)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clients = self._litellm.in_memory_llm_clients_cache
        own = clients.update_cache_key_with_event_loop("")  # other models' loops are still at work with theirs
        for key in [key for key in list(clients.cache_dict) if key.endswith(own)]:
            client = clients.cache_dict.pop(key)
            if (close := getattr(client, "aclose", None) or getattr(client, "close", None)) is not None:
                await close()

"""The pauses between attempts, and rate limits, of calls to a server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF = 0.5
"""Seconds before the second attempt (on average a quarter less). They double before each further one."""

LONGEST_WAIT = 60.0
"""The longest wait, in seconds."""


def backoff(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait after attempt `attempt` (from 0): with jitter, and at least `retry_after`."""
    wait = min(BACKOFF * 2.0**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0)
    # A little more than requested, because the server told all waiting calls the same.
    return wait if retry_after is None else retry_after + 0.1 * wait


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a server asks to wait, by `retry-after-ms` or `Retry-After` (seconds or a date)."""
    milliseconds, given = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((milliseconds, 1000.0), (given, 1.0)):
        try:
            seconds = float(text or "") / unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        date = parsedate_to_datetime(given or "")
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None


class Pace:
    """Spaces attempts evenly, with at most `per_minute` units a minute; None for no limit."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0

    def take(self, units: float) -> float:
        """Reserve units; return the moment (of `time.monotonic`) from which they may be used."""
        start = max(time.monotonic(), self._next)
        self._next = start + units * self._seconds
        return start

    def correct(self, units: float) -> None:
        """Add units used beyond the reserved ones, a minute's worth at most, or return the rest (negative)."""
        self._next += min(units * self._seconds, 60.0)


class Brake:
    """Holds back all calls while the server asks to wait."""

    def __init__(self) -> None:
        self._until = 0.0

    def pull(self, seconds: float) -> None:
        """Let no attempt start for this many seconds."""
        self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait until the brake is released, and a random time longer, so that calls do not all start at once."""
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left + random.uniform(0, BACKOFF))

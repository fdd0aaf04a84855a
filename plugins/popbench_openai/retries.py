"""When to try again, and how fast to ask at all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF = 0.5
"""Seconds before the second attempt, on average a quarter less; doubled before each further one."""

LONGEST = 60.0
"""Seconds that a wait grows to."""


def backoff(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait after attempt number `attempt` (from 0): jittered, and no less than asked for."""
    wait = min(BACKOFF * 2.0**attempt, LONGEST) * random.uniform(0.5, 1.0)
    # What was asked for, and a little on top: everybody was told the same.
    return wait if retry_after is None else retry_after + 0.1 * wait


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds a server asks to wait, from `retry-after-ms` or `Retry-After` (seconds or a date)."""
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
    """Spaces attempts evenly: at most `per_minute` units a minute; None for no limit."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0

    def take(self, units: float) -> float:
        """Reserve units; return the moment (of `time.monotonic`) from which they may be used."""
        start = max(time.monotonic(), self._next)
        self._next = start + units * self._seconds
        return start

    def correct(self, units: float) -> None:
        """Add what was used beyond the units reserved, a minute's worth at most, or give back (negative) the rest."""
        self._next += min(units * self._seconds, 60.0)


class Brake:
    """Holds all calls back while the server asks for that."""

    def __init__(self) -> None:
        self._until = 0.0

    def pull(self, seconds: float) -> None:
        """Let no attempt start for so many seconds."""
        self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait for as long as the brake is pulled, and a little longer: not everybody starts again at once."""
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left + random.uniform(0, BACKOFF))

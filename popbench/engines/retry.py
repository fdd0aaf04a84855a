"""What becomes of a call that raises: another attempt, the failure of its request, or the end of its component."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from popbench.engines import pacing
from popbench.errors import ComponentError, one_line
from popbench.records import Failure, Request
from popbench.text import counted

Kinds: TypeAlias = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Errors: by their class or classes, or by a function that says whether an error is one of them."""

_LIMITED = {429}
_TRANSIENT = {408, 409, 425}
_FATAL = {401, 402, 403, 404}
_TRANSPORT = {"TransportError", "APIConnectionError", "ClientConnectionError", "ClientPayloadError"}
"""Errors of the transport that are no OSError: of httpx, the openai SDK and aiohttp."""
_SAID = 300
"""Characters of a server's answer that a message holds."""
_TAKEN = "popbench_body"
"""The attribute of an error that keeps what was read of its answer."""
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error carries, as those of urllib, requests, httpx, aiohttp and SDKs do."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if type(status) is int and 100 <= status < 600:
                return status
    return None


def is_rate_limit(error: Exception) -> bool:
    """Say whether a server answered that it was asked too often."""
    return status_of(error) in _LIMITED


def is_transient(error: Exception) -> bool:
    """Say whether an error is the server's or the network's, so that the same call may succeed later."""
    status = status_of(error)
    if status is not None:
        return status in _TRANSIENT or status >= 500
    names = {cls.__name__ for cls in type(error).__mro__}
    cut = json.JSONDecodeError  # an answer that is no JSON: cut, or the error page of a proxy
    return isinstance(error, OSError | http.client.HTTPException | cut) or bool(names & _TRANSPORT)


def is_fatal(error: Exception) -> bool:
    """Say whether no call can succeed: a wrong key, no credit, no such model or address."""
    return status_of(error) in _FATAL


@dataclass(frozen=True, slots=True)
class Retry:
    """How `popbench.concurrently` goes on after a call that raised.

    Errors that are `rate_limited` or `transient` are tried again, up to `attempts` times and `seconds` seconds after
    the first attempt, with pauses that grow, and with those that a server asks for (`Retry-After`); after a rate limit
    all calls pause. What is `fatal` ends the component with one line, and so do `lost_in_a_row` requests that had no
    answer, one after the other. Another error that carries an HTTP status is the failure of its request; anything else
    is taken for a bug and raised. None of these says that a job is over. By default, errors are told apart by their
    HTTP status and their class.
    """

    transient: Kinds = is_transient
    rate_limited: Kinds = is_rate_limit
    fatal: Kinds = is_fatal
    attempts: int = 8
    seconds: float = 600.0
    lost_in_a_row: int = 6

    def __post_init__(self) -> None:
        for name, least in (("attempts", 0), ("seconds", 0), ("lost_in_a_row", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected at least {least}")


def _is(error: Exception, kinds: Kinds) -> bool:
    if isinstance(kinds, type | tuple):
        return isinstance(error, kinds)
    return kinds(error)


_WELL = 60.0
"""Seconds of asking about a job after which a failure is the first one again: a job may take hours."""


class Call(Protocol):
    """A call that can be tried again. `has_job`: what it asks for is at work already, and is only waited for."""

    has_job: bool

    async def attempt(self) -> Any:
        """Return the answer."""


class Attempts:
    """Makes attempts of calls by a policy; what one call learns about the server holds for all of them."""

    def __init__(self, policy: Retry | None, per_minute: float | None) -> None:
        self._policy = policy
        self._pace = pacing.Pace(per_minute)
        self._brake = pacing.Brake()
        self._lost = 0

    async def run(self, request: Request, call: Call) -> Any:
        """Return what `call` returns, or a Failure of `request`; raises ComponentError if no call can succeed."""
        attempts, first = 0, 0.0
        while True:
            await self._turn()
            started = time.monotonic()
            first = first or started
            try:
                answer = await call.attempt()
            except Exception as error:
                if call.has_job and time.monotonic() - started > _WELL:
                    attempts, first = 0, time.monotonic()
                attempts += 1
                pause = self._judge(error, attempts, time.monotonic() - first)
                if isinstance(pause, str):
                    return Failure(request.id, pause, keeps_job=True)
                await asyncio.sleep(pause)
                continue
            self._lost = 0
            return answer

    async def _turn(self) -> None:
        await self._brake.wait()
        wait = self._pace.take(1) - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)

    def _judge(self, error: Exception, attempts: int, passed: float) -> float | str:
        """Return how long to pause before the next attempt, or why the request has failed; raises what ends all."""
        policy = self._policy
        if policy is None:
            raise error
        told = _told(error)
        if _is(error, policy.fatal):
            raise ComponentError(told) from error
        limited = _is(error, policy.rate_limited)
        if not limited and not _is(error, policy.transient):
            if status_of(error) is None:
                raise error
            self._lost = 0
            return told
        asked = pacing.retry_after(_headers(error))
        pause = pacing.backoff(attempts - 1, asked)
        if attempts > policy.attempts or passed + pause > policy.seconds:
            tries = "1 try" if attempts == 1 else f"{attempts} tries"
            message = f"no answer in {tries} in {passed:.0f} s (last: {told})"
            self._lost += 1
            if self._lost >= policy.lost_in_a_row:
                before = counted(self._lost - 1, "request")
                raise ComponentError(f"{message}, nor to {before} before: check the server") from error
            return message
        if limited:
            self._brake.pull(pause)
        return pause


def _headers(error: Exception) -> Mapping[str, str]:
    for holder in (error, getattr(error, "response", None)):
        headers = getattr(holder, "headers", None)
        if headers is not None and hasattr(headers, "get"):
            return headers  # type: ignore[no-any-return]
    return {}


def _told(error: Exception) -> str:
    """Return an error in one line, with what the server said, and without the queries of URLs, which may hold keys."""
    said = " ".join(_body(error).split())[:_SAID]
    return _QUERY.sub(r"\1", one_line(error)) + (f": {said}" if said else "")


def _body(error: Exception) -> str:
    """Return the text of the answer that an error is about."""
    take_body(error)
    if isinstance(error, urllib.error.HTTPError):
        return str(vars(error).get(_TAKEN, ""))
    try:
        text = error.response.text  # type: ignore[attr-defined]
    except Exception:  # httpx raises for an answer that was not read
        return ""
    return text if isinstance(text, str) else ""


def take_body(error: BaseException) -> None:
    """Read the answer that urllib's error is, and close its connection: nobody else may, if its call was cancelled."""
    if not isinstance(error, urllib.error.HTTPError) or _TAKEN in vars(error):
        return
    try:
        with error:
            vars(error)[_TAKEN] = error.read(_SAID * 4).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):  # cut, closed, or there is none
        vars(error)[_TAKEN] = ""

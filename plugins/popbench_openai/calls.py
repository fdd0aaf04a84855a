"""Calls a chat API through the `openai` SDK, and repeats attempts until there is an answer.

The SDK opens connections, writes requests and classifies errors of its transport. This module decides whether to try
again, by the kind of error. It reads answers from their JSON, because servers send shapes that the SDK's types do not
have.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import aiohttp
import openai

import popbench
from popbench import JSON
from popbench.engines import Brake, Pace, backoff, retry_after
from popbench.judging import FEWER, PictureChat
from popbench_openai.accepted import Accepted, ChatRequest
from popbench_openai.answers import EMPTY_TRIES, NoTextError, add, read
from popbench_openai.clients import open_client, read_body
from popbench_openai.faults import SMALLER, CallError, Kind, of_body, of_connection, of_status
from popbench_openai.hiding import Hider
from popbench_openai.options import ChatOptions

LOST_IN_A_ROW = 3
"""After this many failed calls without an answer in between, the server counts as down, and the run ends. After this
many equal rejections before the first success, an option counts as wrong."""

ERRORS_IN_A_ROW = 12
"""The same for a server that answers with errors: a few prompts that it cannot handle must not end the run."""

_FIRST_CONTACT = 2
"""Further attempts at an address that has never answered."""

_CHARS_PER_TOKEN = 4
_OUTPUT_GUESS = 500


class Model(Protocol):
    """What calls need of a model: its options, its server and its key."""

    @property
    def asked(self) -> ChatOptions:
        """Return the options that requests are made with."""

    @property
    def url(self) -> str:
        """Return the server's address."""

    @property
    def shown_url(self) -> str:
        """Return the address without possible secrets, for messages."""

    @property
    def key(self) -> str:
        """Return the key; empty if there is none."""

    @property
    def key_variable(self) -> str:
        """Return the environment variable of the key; empty if there is none."""

    @property
    def elsewhere(self) -> str:
        """Return who else serves the model, for messages; empty if nobody is known to."""


class Calls:
    """All calls of one `generate`: the client, the rate limits, and what was learnt about the server.

    `popbench.concurrently` calls it for each chat. Failures are judged here and not by `popbench.Retry`, because what
    follows from one depends on what the server answered to other calls.
    """

    def __init__(self, model: Model) -> None:
        options = model.asked
        self._options = options
        self._model = model
        self._key = model.key
        self._name = f"{options.model} at {model.shown_url}"
        self._elsewhere = f"; {model.elsewhere}" if model.elsewhere else ""
        self._hide = Hider(self._key)
        self._accepted = Accepted(options)
        self._failed_in_a_row = 0
        self._works = self._writes = False
        self._rejected: Counter[str] = Counter()
        self._brake = Brake()
        self._requests = Pace(options.requests_per_minute)
        self._tokens = Pace(options.tokens_per_minute)
        self._client: openai.AsyncOpenAI

    async def __aenter__(self) -> Calls:
        """Make the client. Connections are opened when they are needed."""
        self._client = open_client(self._model.url, self._key)
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close all connections."""
        await self._client.close()

    async def __call__(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        """Answer one chat; raises ComponentError if no call can succeed."""
        if chat.job is not None:  # it is paid for
            return popbench.Failure(
                chat.id, f"{self._name}: it is in a batch, which batch=true fetches", keeps_job=True
            )
        options, accepted = self._options, self._accepted
        attempt, first = 0, None
        empty = unexplained = trial = 0
        last: CallError | None = None
        spent: dict[str, float] = {}
        while True:
            tokens = await self._wait_for_turn(chat)
            first = first or time.monotonic()
            if (
                last is not None and time.monotonic() - first > options.retry_seconds
            ):  # waiting for its turn took too long
                return self._failure(chat, last, attempt, time.monotonic() - first, spent)
            request = accepted.request(chat, trial)
            try:
                completion = await self._attempt(request, tokens)
            except CallError as fault:
                add(spent, fault.usage)
                if fault.kind is Kind.FORMAT:
                    accepted.refuse_format(request)
                    continue
                if fault.kind is Kind.SYSTEM and accepted.refuse_system():
                    continue
                retries_left = options.max_retries
                if isinstance(fault, NoTextError):
                    empty += 1
                    if empty >= EMPTY_TRIES and self._writes and not fault.lost:
                        return replace(fault.completion, usage=spent or None)  # it writes for other prompts
                    retries_left = min(retries_left, attempt + EMPTY_TRIES - empty)
                if fault.unexplained:
                    unexplained += 1
                    trial = accepted.next_trial(request, unexplained, rejected=fault.kind is Kind.ITEM)
                    if trial and fault.kind is Kind.ITEM:
                        continue
                wait = backoff(attempt, fault.retry_after)
                passed = time.monotonic() - first
                # A server that has answered before may come back; else the address is wrong, or it was not started.
                if fault.unreachable and not self._works:
                    retries_left = min(retries_left, _FIRST_CONTACT)
                lasting = attempt >= retries_left or passed + wait > options.retry_seconds
                if fault.kind is not Kind.PASSING or lasting:
                    return self._failure(chat, fault, attempt + 1, passed, spent)
                if fault.retry_after is not None:
                    self._brake.pull(fault.retry_after)
                attempt, last = attempt + 1, fault
                await asyncio.sleep(wait)
                continue
            accepted.answered(request)
            self._failed_in_a_row, self._works = 0, True
            self._writes = self._writes or bool(completion.text.strip())
            return replace(completion, usage=add(spent, completion.usage)) if spent else completion

    def _failure(
        self, chat: popbench.Chat, fault: CallError, attempts: int, seconds: float, spent: Mapping[str, float]
    ) -> popbench.Failure:
        """Return the Failure of one chat; raises ComponentError if other chats would fail as well."""
        if fault.kind is Kind.PASSING:
            asks = f"; it asks to wait {fault.retry_after:.0f} s" if fault.retry_after else ""
            tries = f"{attempts} {'try' if attempts == 1 else 'tries'} in {seconds:.0f} s"
            message = self._hide(f"{self._name} gave no answer in {tries} (last: {fault.what}{asks})")
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= (ERRORS_IN_A_ROW if fault.answered else LOST_IN_A_ROW):
                remedy = "check that it runs, and base_url="
                if self._works or fault.answered:
                    remedy = "check the server, or allow more max_retries="
                raise popbench.ComponentError(
                    f"{message}, nor to {self._failed_in_a_row - 1} calls before: {remedy}{self._elsewhere}"
                ) from None
            return popbench.Failure(chat.id, message, usage=spent or None)
        remedy = FEWER if fault.remedy == SMALLER and isinstance(chat, PictureChat) else fault.remedy
        message = self._hide(f"{self._name}: {fault.what}" + (f": {remedy}" if remedy else ""))
        self._failed_in_a_row = 0
        if fault.kind is Kind.FATAL:
            raise popbench.ComponentError(message + self._elsewhere) from None
        if fault.kind in (Kind.ITEM, Kind.SYSTEM) and not self._works:
            self._rejected[fault.what] += 1
            if self._rejected[fault.what] >= LOST_IN_A_ROW:  # the error does not depend on the prompt
                raise popbench.ComponentError(message) from None
        return popbench.Failure(
            chat.id, message, invalid=fault.kind is Kind.INVALID, reason=fault.reason, usage=spent or None
        )

    async def _wait_for_turn(self, chat: popbench.Chat) -> float:
        """Wait until another attempt may start; return the estimate of its tokens."""
        tokens = sum(len(message["content"]) for message in chat.messages) / _CHARS_PER_TOKEN
        tokens += self._options.max_tokens or _OUTPUT_GUESS
        tokens += chat.tokens if isinstance(chat, PictureChat) else 0
        await self._brake.wait()
        wait = max(self._requests.take(1), self._tokens.take(tokens)) - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        return tokens

    async def _attempt(self, request: ChatRequest, tokens: float) -> popbench.Completion:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._options.timeout):
                body = await self._send(request)
        except TimeoutError:
            raise CallError(Kind.PASSING, f"no answer within timeout={self._options.timeout:g} s") from None
        completion = read(request, body, time.monotonic() - started, self._hide, self._options)
        if completion.usage is not None:
            self._tokens.correct(sum(completion.usage.get(kind, 0) for kind in ("input", "output")) - tokens)
        return completion

    async def _send(self, request: ChatRequest) -> JSON:
        """Send one request and return the JSON of its answer; raises CallError if it fails."""
        formatted, system, variable = request.format != "off", request.has_system, self._model.key_variable
        try:
            # Not `chat.completions.create`, which takes a millisecond to convert types that are dictionaries already.
            response = await self._client.post(
                "/chat/completions",
                cast_to=openai.HttpxBinaryResponseContent,
                body=request.body(self._options),
                options={"follow_redirects": False},  # answers of another host would be recorded under this one
            )
            body = read_body(response.content, self._hide)
        except openai.APIStatusError as error:
            headers = error.response.headers
            if 300 <= error.status_code < 400:
                moved = f"{error.status_code} moved to {headers.get('location', 'an unknown place')}"
                raise CallError(Kind.FATAL, self._hide(moved), "set base_url= to where it is now") from None
            body = read_body(error.response.content, self._hide)
            wait = retry_after(headers)
            raise of_status(error.status_code, body, wait, variable, formatted=formatted, system=system) from None
        except (
            openai.OpenAIError,
            aiohttp.ClientError,
            OSError,
        ) as error:  # the SDK wraps most errors of its transport, but not all
            raise of_connection(error) from None
        except Exception as error:  # the SDK and its transport fail on malformed charsets and headers
            message = self._hide(f"unreadable answer ({type(error).__name__}: {error})")
            raise CallError(Kind.PASSING, message) from None
        if isinstance(body, str):
            raise CallError(Kind.PASSING, f"answered with no JSON: {' '.join(body.split())[:80]!r}")
        fault = of_body(body, variable, formatted=formatted, system=system)
        if fault is not None:
            raise fault
        return body

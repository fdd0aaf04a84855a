"""Calls to a chat API through the `openai` SDK: one attempt after another until there is an answer.

The SDK opens connections, writes requests and knows the errors of its transport. Whether to try again is decided
here, by type, and answers are read from their JSON: servers send shapes that the SDK's types do not foresee.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any, Protocol

import aiohttp
import openai

import popbench
from popbench import JSON
from popbench_openai import retries
from popbench_openai.answers import Asked, read
from popbench_openai.faults import CallError, Kind, of_body, of_connection, of_status
from popbench_openai.options import OPENAI_URL, ChatOptions

LOST_IN_A_ROW = 3
"""So many calls given up with no answer in between: the server is down, and the rest is left for later. Before the
first success, so many equal rejections: an option is wrong."""

ERRORS_IN_A_ROW = 12
"""The same where the server answers, with errors: a few prompts that it stumbles over must not hold up the rest."""

_FIRST_CONTACT = 2
"""Further attempts at an address where nobody has answered yet."""

_SHORTEST_KEY = 8
"""Characters below which a key is no secret: servers that want none are given `x`, `none` or `EMPTY`."""

_LADDER = {
    "auto": ("json_schema", "json_object", "off"),
    "json_schema": ("json_schema", "off"),
    "json_object": ("json_object", "off"),
    "off": ("off",),
}
_CHARS_PER_TOKEN = 4
_OUTPUT_GUESS = 500


class Model(Protocol):
    """What calls have to know of a model: its options, its server and its key."""

    options: Any
    """Its `ChatOptions`."""

    @property
    def url(self) -> str:
        """The server's address as it is asked."""

    @property
    def shown_url(self) -> str:
        """The address without what may be secret in it."""

    @property
    def key(self) -> str:
        """The key, empty where there is none."""

    @property
    def key_variable(self) -> str:
        """The environment variable of the key, empty for none."""


class Calls:
    """All calls of one `generate`: the client, the pace, and what is learnt of the server."""

    def __init__(self, model: Model) -> None:
        options: ChatOptions = model.options
        self._options = options
        self._model = model
        self._key = model.key
        self._who = f"{options.model} at {model.shown_url}"
        self._formats = _LADDER[options.structured]
        self._refused = 0
        self._lost = 0
        self._works = False
        self._rejected: Counter[str] = Counter()
        self._brake = retries.Brake()
        self._requests = retries.Pace(options.requests_per_minute)
        self._tokens = retries.Pace(options.tokens_per_minute)
        self._client: openai.AsyncOpenAI

    async def __aenter__(self) -> Calls:
        """Make the client; connections are opened when they are needed."""
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._model.url,
            max_retries=0,
            timeout=None,
            http_client=openai.DefaultAioHttpClient(timeout=None),  # half the time a call takes here
        )
        if self._model.url != OPENAI_URL:  # what the environment holds for OpenAI is no other server's business
            self._client.organization = self._client.project = None
            self._client._custom_headers = {}
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close all connections."""
        await self._client.close()

    async def answer(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        """Answer one chat; raises ComponentError where no call can succeed."""
        options = self._options
        attempt, first = 0, None
        last: CallError | None = None
        while True:
            tokens = await self._turn(chat)
            first = first or time.monotonic()
            if last is not None and time.monotonic() - first > options.retry_seconds:  # it was a long wait
                return self._given_up(chat, last, attempt, time.monotonic() - first)
            asked = self._asked(chat)
            refused = self._refused
            try:
                completion = await self._attempt(asked, tokens)
            except CallError as fault:
                if fault.kind is Kind.FORMAT:
                    self._refused = max(self._refused, refused + 1)
                    continue
                wait = retries.backoff(attempt, fault.retry_after)
                passed = time.monotonic() - first
                # A server that was there comes back; one that never was is a wrong address, or not started.
                retries_left = options.max_retries
                if fault.unreachable and not self._works:
                    retries_left = min(retries_left, _FIRST_CONTACT)
                lasting = attempt >= retries_left or passed + wait > options.retry_seconds
                if fault.kind is not Kind.PASSING or lasting:
                    return self._given_up(chat, fault, attempt + 1, passed)
                if fault.retry_after is not None:
                    self._brake.pull(fault.retry_after)
                attempt, last = attempt + 1, fault
                await asyncio.sleep(wait)
                continue
            self._lost, self._works = 0, True
            return completion

    def _given_up(self, chat: popbench.Chat, fault: CallError, attempts: int, seconds: float) -> popbench.Failure:
        """Make the Failure of one chat; raises ComponentError where no other can be had either."""
        if fault.kind is Kind.PASSING:
            asks = f"; it asks to wait {fault.retry_after:.0f} s" if fault.retry_after else ""
            tries = f"{attempts} {'try' if attempts == 1 else 'tries'} in {seconds:.0f} s"
            what = self._hide(f"{self._who} gave no answer in {tries} (last: {fault.what}{asks})")
            self._lost += 1
            if self._lost >= (ERRORS_IN_A_ROW if fault.answered else LOST_IN_A_ROW):
                remedy = "check that it runs, and base_url="
                if self._works or fault.answered:
                    remedy = "check the server, or allow more max_retries="
                raise popbench.ComponentError(f"{what}, nor to {self._lost - 1} calls before: {remedy}") from None
            return popbench.Failure(chat.id, what)
        what = self._hide(f"{self._who}: {fault.what}" + (f": {fault.remedy}" if fault.remedy else ""))
        self._lost = 0
        if fault.kind is Kind.FATAL:
            raise popbench.ComponentError(what) from None
        if fault.kind is Kind.ITEM and not self._works:
            self._rejected[fault.what] += 1
            if self._rejected[fault.what] >= LOST_IN_A_ROW:  # it is not about one prompt: spare the others
                raise popbench.ComponentError(what) from None
        return popbench.Failure(chat.id, what, invalid=fault.kind is Kind.INVALID)

    def _asked(self, chat: popbench.Chat) -> Asked:
        format_, first = self._format(chat, self._refused), self._format(chat, 0)
        return Asked(chat, format_, fell_back=format_ != first)

    def _format(self, chat: popbench.Chat, refused: int) -> str:
        """Choose the response_format: none that would forbid the reasoning which the chat asks for first."""
        wanted = self._formats[min(refused, len(self._formats) - 1)]
        if chat.reasons and (wanted == "json_object" or self._options.structured == "auto"):
            return "off"
        return wanted

    async def _turn(self, chat: popbench.Chat) -> float:
        """Wait until another attempt may start; return how many tokens it was reckoned to take."""
        tokens = sum(len(message["content"]) for message in chat.messages) / _CHARS_PER_TOKEN
        tokens += self._options.max_tokens or _OUTPUT_GUESS
        await self._brake.wait()
        wait = max(self._requests.take(1), self._tokens.take(tokens)) - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        return tokens

    async def _attempt(self, asked: Asked, tokens: float) -> popbench.Completion:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._options.timeout):
                body = await self._send(asked)
        except TimeoutError:
            raise CallError(Kind.PASSING, f"no answer within timeout={self._options.timeout:g} s") from None
        completion = read(asked, body, time.monotonic() - started, self._hide)
        if completion.usage is not None:
            self._tokens.correct(sum(completion.usage.get(kind, 0) for kind in ("input", "output")) - tokens)
        return completion

    async def _send(self, asked: Asked) -> JSON:
        """Send one request and return the JSON of its answer; raises CallError for everything else."""
        formatted, variable = asked.format != "off", self._model.key_variable
        try:
            # Not `chat.completions.create`, which spends a millisecond on types that are dictionaries already.
            response = await self._client.post(
                "/chat/completions",
                cast_to=openai.HttpxBinaryResponseContent,
                body=self._request(asked),
                options={"follow_redirects": False},  # another host's answers would go by this one's name
            )
            body = self._read(response.content)
        except openai.APIStatusError as error:
            headers = error.response.headers
            if 300 <= error.status_code < 400:
                moved = f"{error.status_code} moved to {headers.get('location', 'an unknown place')}"
                raise CallError(Kind.FATAL, self._hide(moved), "set base_url= to where it is now") from None
            body = self._read(error.response.content)
            wait = retries.retry_after(headers)
            raise of_status(error.status_code, body, wait, variable, formatted=formatted) from None
        except (openai.OpenAIError, aiohttp.ClientError, OSError) as error:  # the SDK wraps most of its transport's
            raise of_connection(error) from None
        except Exception as error:  # the SDK and its transport stumble over charsets and headers that are none
            what = self._hide(f"unreadable answer ({type(error).__name__}: {error})")
            raise CallError(Kind.PASSING, what) from None
        if isinstance(body, str):
            raise CallError(Kind.PASSING, f"answered with no JSON: {' '.join(body.split())[:80]!r}")
        fault = of_body(body, variable, formatted=formatted)
        if fault is not None:
            raise fault
        return body

    def _read(self, content: bytes) -> JSON:
        """Read a body, which is UTF-8 whatever its headers say, without the key; text where it is no JSON."""
        text = content.decode("utf-8-sig", "replace")
        try:
            body = json.loads(text)
            return self._without_key(body) if self._key else body
        except (ValueError, RecursionError):
            return self._hide(text)

    def _without_key(self, value: JSON) -> JSON:
        if isinstance(value, str):
            return self._hide(value)
        if isinstance(value, dict):
            return {name: self._without_key(item) for name, item in value.items()}
        return [self._without_key(item) for item in value] if isinstance(value, list) else value

    def _request(self, asked: Asked) -> dict[str, Any]:
        options, chat = self._options, asked.chat
        request: dict[str, Any] = {"model": options.model, "messages": list(chat.messages)}
        for name in ("temperature", "top_p", "max_tokens"):
            value = getattr(options, name)
            if value is not None:
                request[name] = value
        if options.seed:
            request["seed"] = chat.seed
        response_format = asked.response_format()
        if response_format is not None:
            request["response_format"] = response_format
        return {**request, **options.extra_body}

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "[key]") if len(self._key) >= _SHORTEST_KEY else text

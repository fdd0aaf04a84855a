"""What of a request a server accepts: response formats and system messages, as its answers teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import popbench
from popbench import JSON
from popbench.judging import PictureChat
from popbench_openai.options import ChatOptions

_FALLBACKS = {
    "auto": ("json_schema", "json_object", "off"),
    "json_schema": ("json_schema", "off"),
    "json_object": ("json_object", "off"),
    "off": ("off",),
}
_FAILURES = 2
"""After this many unexplained errors, a prompt is asked otherwise, to see whether that helps. After this many prompts
that were answered only so, all are asked so."""

_TRIALS = ((), ("response_format",), ("system",), ("response_format", "system"))
"""What a prompt is asked without, in this order."""

_UNSUPPORTED = ("minLength", "maxLength")
"""Bounds that not every server accepts in a strict schema. The harness checks answers in any case."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat as it is asked.

    `format` is its response_format, the fallback of rank `level`; `without` is what a trial leaves out, and `remarks`
    say what the server did not accept.
    """

    chat: popbench.Chat
    messages: tuple[popbench.Message, ...]
    format: str
    level: int = 0
    without: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def has_system(self) -> bool:
        """Return whether there is a system message."""
        return any(message["role"] == "system" for message in self.messages)

    def response_format(self) -> dict[str, JSON] | None:
        """Return the response_format. The schema of a chat that reasons begins with the reasoning."""
        if self.format == "json_object":
            return {"type": "json_object"}
        if self.format != "json_schema":
            return None
        schema = _strict(self.chat.schema)
        if self.chat.reasons:
            schema["properties"] = {"reasoning": {"type": "string"}, **schema["properties"]}
            schema["required"] = ["reasoning", *schema["required"]]
        name = "judgement" if isinstance(self.chat, PictureChat) else "draft"
        return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}

    def body(self, options: ChatOptions) -> dict[str, Any]:
        """Return the body of the request."""
        messages = self.chat.shown() if isinstance(self.chat, PictureChat) else list(self.messages)
        body: dict[str, Any] = {"model": options.model, "messages": messages}
        for name in ("temperature", "top_p", "max_tokens"):
            value = getattr(options, name)
            if value is not None:
                body[name] = value
        if options.seed:
            body["seed"] = self.chat.seed
        response_format = self.response_format()
        if response_format is not None:
            body["response_format"] = response_format
        return {**body, **options.extra_body}


def _strict(schema: JSON) -> Any:
    if isinstance(schema, Mapping):
        # What is named like a bound and holds a schema is a field.
        bounds = {name for name in _UNSUPPORTED if not isinstance(schema.get(name), Mapping)}
        return {name: _strict(value) for name, value in schema.items() if name not in bounds}
    return [_strict(value) for value in schema] if isinstance(schema, list) else schema


class Accepted:
    """What the server accepts, for all chats of a run."""

    def __init__(self, options: ChatOptions) -> None:
        self._options = options
        self._formats = _FALLBACKS[options.structured]
        self._refused = 0
        self._merged = ""
        self._failing = False
        self._worked: set[str] = set()
        self._without: Counter[str] = Counter()

    def request(self, chat: popbench.Chat, trial: int = 0) -> ChatRequest:
        """Make the request of a chat; `trial` is a rank in the trials of what may be left out."""
        without = _TRIALS[trial]
        plain = "response_format" in without
        level = len(self._formats) - 1 if plain else min(self._refused, len(self._formats) - 1)
        wanted, format_ = self._format(chat, 0), self._format(chat, level)
        remarks = []
        if format_ != wanted and (plain or self._failing):
            remarks.append(f"the server failed with response_format {wanted}; asked with none")
        elif format_ != wanted:
            instead = "none" if format_ == "off" else format_
            remarks.append(f"the server refused a response_format; asked with {instead}")
        why = "failed with" if "system" in without else self._merged
        messages = _merged(chat.messages) if why or self._options.system_role == "merge" else chat.messages
        if why and messages != chat.messages:
            remarks.append(f"the server {why} a system message; asked with it in front of the user's")
        return ChatRequest(chat, messages, format_, level, without, tuple(remarks))

    def _format(self, chat: popbench.Chat, level: int) -> str:
        """Choose the response_format: none for free text, and none that forbids the reasoning that a chat asks for."""
        wanted = self._formats[level]
        if not chat.schema:  # any text may be answered
            return "off"
        if chat.reasons and (wanted == "json_object" or self._options.structured == "auto"):
            return "off"
        return wanted

    def refuse_format(self, request: ChatRequest) -> None:
        """Note that the server refuses a request's response_format."""
        self._refused = max(self._refused, request.level + 1)

    def refuse_system(self) -> bool:
        """Note that the server refuses system messages; return whether they may be merged."""
        if self._options.system_role == "auto":
            self._merged = self._merged or "refused"
        return bool(self._merged)

    def learnt(self) -> dict[str, JSON]:
        """Return what the server refuses, as JSON for `learn`; empty if it refuses nothing."""
        known = {"level": self._refused, "merged": bool(self._merged)}
        return {name: value for name, value in known.items() if value}

    def learn(self, learnt: Mapping[str, JSON]) -> None:
        """Take over what another process has learnt."""
        level = learnt.get("level")
        if isinstance(level, int):
            self._refused = max(self._refused, level)
        if learnt.get("merged") is True:
            self.refuse_system()

    def next_trial(self, request: ChatRequest, failures: int, *, rejected: bool = False) -> int:
        """Choose how to ask after some unexplained errors: without what has never worked, one after the other.

        A request that was `rejected` would be rejected again: it is asked otherwise at once.
        """
        if not rejected and failures < min(_FAILURES, self._options.max_retries):
            return 0
        usual = self.request(request.chat)
        doubtful = set()
        if usual.format not in ("off", *self._worked):
            doubtful.add("response_format")
        if usual.has_system and "system" not in self._worked and self._options.system_role == "auto":
            doubtful.add("system")
        further = range(_TRIALS.index(request.without) + 1, len(_TRIALS))
        return next((trial for trial in further if doubtful >= set(_TRIALS[trial])), 0)

    def answered(self, request: ChatRequest) -> None:
        """Note that a request was answered: what it had works, and what a trial left out may be what fails."""
        self._worked.add(request.format)
        if request.has_system:
            self._worked.add("system")
        self._without.update(request.without)
        for name in request.without:
            if self._without[name] < _FAILURES:
                continue
            if name == "system" and "system" not in self._worked:
                self._merged = self._merged or "failed with"
            elif name != "system" and self._format(request.chat, self._refused) not in self._worked:
                self._failing, self._refused = True, len(self._formats) - 1


def _merged(messages: Sequence[popbench.Message]) -> tuple[popbench.Message, ...]:
    """Put the system messages in front of the first other message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not system:
        return tuple(messages)
    if not rest:
        return (popbench.Message(role="user", content="\n\n".join(system)),)
    first = popbench.Message(role=rest[0]["role"], content="\n\n".join([*system, rest[0]["content"]]))
    return (first, *rest[1:])

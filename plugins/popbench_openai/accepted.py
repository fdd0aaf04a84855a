"""What of a request a server accepts: response formats and system messages, as its answers teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import popbench
from popbench import JSON
from popbench_openai.options import ChatOptions

_FALLBACKS = {
    "auto": ("json_schema", "json_object", "off"),
    "json_schema": ("json_schema", "off"),
    "json_object": ("json_object", "off"),
    "off": ("off",),
}
_FAILURES = 2
"""After this many unexplained errors, a prompt is tried without its response_format. After this many prompts that were
answered only so, the format is given up."""

_UNSUPPORTED = ("minLength", "maxLength")
"""Bounds that not every server accepts in a strict schema. The harness checks answers in any case."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat as it is asked: `format` is its response_format, and `remarks` say what the server did not accept."""

    chat: popbench.Chat
    messages: tuple[popbench.Message, ...]
    format: str
    level: int = 0
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
        return {"type": "json_schema", "json_schema": {"name": "draft", "strict": True, "schema": schema}}


def _strict(schema: JSON) -> Any:
    if isinstance(schema, Mapping):
        return {name: _strict(value) for name, value in schema.items() if name not in _UNSUPPORTED}
    return [_strict(value) for value in schema] if isinstance(schema, list) else schema


class Accepted:
    """What the server accepts, for all chats of a run."""

    def __init__(self, options: ChatOptions) -> None:
        self._options = options
        self._formats = _FALLBACKS[options.structured]
        self._refused = 0
        self._failing: set[str] = set()
        self._worked: set[str] = set()
        self._without: Counter[str] = Counter()
        self._merged = False

    def request(self, chat: popbench.Chat, *, plain: bool = False) -> ChatRequest:
        """Make the request of a chat; `plain` without a response_format."""
        level = len(self._formats) - 1 if plain else min(self._refused, len(self._formats) - 1)
        wanted, format_ = self._format(chat, 0), self._format(chat, level)
        remarks = []
        if format_ != wanted and (plain or wanted in self._failing):
            remarks.append(f"the server failed with response_format {wanted}; asked with none")
        elif format_ != wanted:
            instead = "none" if format_ == "off" else format_
            remarks.append(f"the server refused a response_format; asked with {instead}")
        messages = chat.messages
        if self._merged or self._options.system_role == "merge":
            messages = _merged(messages)
        if self._merged and messages != chat.messages:
            remarks.append("the server refused a system message; asked with it in front of the user's")
        return ChatRequest(chat, messages, format_, level, tuple(remarks))

    def _format(self, chat: popbench.Chat, level: int) -> str:
        """Choose the response_format. A chat that asks for reasoning first gets none that forbids it."""
        wanted = self._formats[level]
        if chat.reasons and (wanted == "json_object" or self._options.structured == "auto"):
            return "off"
        return wanted

    def refuse_format(self, request: ChatRequest) -> None:
        """Note that the server refuses a request's response_format."""
        self._refused = max(self._refused, request.level + 1)

    def refuse_system(self) -> bool:
        """Note that the server refuses system messages; return whether they may be merged."""
        self._merged = self._options.system_role == "auto"
        return self._merged

    def suspect(self, request: ChatRequest, failures: int) -> bool:
        """Return whether unexplained errors may come from a request's response_format, which has never worked yet."""
        enough = failures >= min(_FAILURES, self._options.max_retries)
        return request.format != "off" and request.format not in self._worked and enough

    def answered(self, request: ChatRequest, *, plain: bool) -> None:
        """Note that a request was answered; `plain` if its response_format was left out to see whether it helps."""
        if not plain:
            self._worked.add(request.format)
            return
        wanted = self._format(request.chat, min(self._refused, len(self._formats) - 1))
        self._without[wanted] += 1
        if wanted not in self._worked and self._without[wanted] >= _FAILURES:
            self._failing.add(self._format(request.chat, 0))
            self._refused = len(self._formats) - 1


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

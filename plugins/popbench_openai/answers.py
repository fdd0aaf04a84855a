"""Reads a chat API's JSON as a completion. Missing fields are tolerated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import popbench
from popbench import JSON
from popbench_openai.faults import CallError, Kind

_INTERRUPTED = ("error", "insufficient_system_resource", "abort")
"""The finish_reason of OpenRouter, DeepSeek and vLLM for an answer that they broke off themselves."""

_UNSUPPORTED = ("minLength", "maxLength")
"""Bounds that not every server accepts in a strict schema. The harness checks answers in any case."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat as it is asked: `format` is its response_format, `fell_back` whether the server refused a better one."""

    chat: popbench.Chat
    format: str
    fell_back: bool

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


def read(request: ChatRequest, body: JSON, seconds: float, hide: Callable[[str], str]) -> popbench.Completion:
    """Read an answer; raises CallError if there is none, or the model or its provider refuses.

    `hide` removes secrets from a text.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise CallError(Kind.PASSING, "answered without a message")
    why = choice.get("finish_reason")
    if why == "content_filter":
        raise CallError(Kind.INVALID, "stopped by the provider's content filter")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        raise CallError(Kind.INVALID, f"the model refused: {' '.join(message['refusal'].split())[:300]}")
    if why in _INTERRUPTED:
        raise CallError(Kind.PASSING, f"the provider failed while it answered (finish_reason {why})")
    text = hide(_text(message.get("content")))
    reasoning = hide(_text(message.get("reasoning_content") or message.get("reasoning")))
    parsed = _object(text)
    if request.chat.reasons and request.format == "json_schema" and parsed is not None:
        reasoning = "\n\n".join(part for part in (reasoning, _text(parsed.get("reasoning"))) if part)
    return popbench.Completion(
        request.chat.id,
        text,
        reasoning or None,
        _usage(body.get("usage")),
        seconds,
        notes=tuple(_notes(request, why, text, parsed)),
    )


def _notes(request: ChatRequest, why: JSON, text: str, parsed: JSON) -> Iterator[str]:
    if why == "length":
        yield "cut at the limit of tokens" + ("" if text.strip() else " before any answer")
    if request.fell_back:
        instead = "none" if request.format == "off" else request.format
        yield f"the server refused a response_format; asked with {instead}"
    if request.format != "off" and parsed is None and why != "length":
        yield f"the server ignored response_format {request.format}"


def _text(content: JSON) -> str:
    """Return a message's text, also if it comes in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _object(text: str) -> dict[str, JSON] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _usage(usage: JSON) -> dict[str, int] | None:
    """Return token counts. `output` includes reasoning tokens, which have their own count if the server gives one."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("completion_tokens_details")
    tokens = {
        "input": _count(usage.get("prompt_tokens")),
        "output": _count(usage.get("completion_tokens")),
        "reasoning": _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None,
    }
    return {kind: count for kind, count in tokens.items() if count is not None} or None


def _count(value: JSON) -> int | None:
    """Return a number of tokens; None if the value is no whole number of at least 0."""
    return int(value) if type(value) in (int, float) and value >= 0 and value == value // 1 else None

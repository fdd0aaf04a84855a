"""Reads the parts of a chat API's answer: its text, its end, its tokens, and the model that gave it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from popbench import JSON

Ending = Literal["whole", "cut", "context", "filter", "refusal", "broken", "unknown"]

_WHOLE = {
    "stop", "stopped", "stop_sequence", "stop_token", "stop_str", "eos", "eos_token", "eot", "end", "end_turn",
    "end_of_text", "complete", "completed", "finish", "finished", "done", "normal", "success", "succeeded",
    "tool_calls", "tool_call", "tool_use", "function_call",
}  # fmt: skip
_CUT = {
    "length", "max_tokens", "max_token", "max_length", "max_output_tokens", "max_new_tokens", "max_completion_tokens",
    "max_tokens_reached", "token_limit", "token_limit_reached", "length_limit", "limit", "incomplete", "truncated",
}  # fmt: skip
_CONTEXT = {
    "model_length",
    "model_context_window_exceeded",
    "context_length",
    "context_length_exceeded",
    "context_window",
}
_FILTER = re.compile(
    r"filter|safety|sensitive|risk|recitation|prohibited|block|spii|moderat|guardrail|policy|violation|harm|unsafe|inspect"
    r"|toxic|flagged|copyright|censor"
)
_REFUSAL = re.compile(r"refus")
_BROKEN = re.compile(
    r"error|abort|fail|insufficient|cancel|time_?d?_?out|network|unexpected|overload|interrupt|unavailable|malformed|^load$"
    r"|connect|crash|kill|evict|preempt|\boom\b|out_of_memory|throttl|rate_limit|too_many|shut_?down"
)


def ending(why: JSON) -> Ending:
    """Return what a finish_reason means, under the names that servers have for it."""
    if isinstance(why, Mapping):
        why = why.get("type") or why.get("reason")
    if not isinstance(why, str):
        return "unknown"
    name = re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", why.strip()).lower())
    name = name.removeprefix("finish_reason_").removeprefix("finishreason.")
    if name in _WHOLE:
        return "whole"
    if name in _CUT:
        return "cut"
    if name in _CONTEXT:
        return "context"
    if _REFUSAL.search(name):
        return "refusal"
    if _FILTER.search(name):
        return "filter"
    return "broken" if _BROKEN.search(name) else "unknown"


_FLAGS = {"filtered", "blocked", "flagged", "outputsensitive", "inputsensitive"}


def is_filtered(body: JSON, depth: int = 0) -> bool:
    """Return whether a body says anywhere that a filter stopped the prompt or the answer, as Azure and Gemini do."""
    if depth > _DEEPEST:
        return False
    if isinstance(body, list):
        return any(is_filtered(item, depth + 1) for item in body)
    if not isinstance(body, Mapping):
        return False
    for name, value in body.items():
        plain = str(name).replace("_", "").lower()
        if (plain in _FLAGS and value is True) or (plain == "blockreason" and isinstance(value, str) and value):
            return True
        if plain not in ("content", "usage") and is_filtered(value, depth + 1):
            return True
    return False


@dataclass(slots=True)
class Content:
    """What a message holds. `unread`: some of it has a shape that is not known."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    unread: bool = False


_REASONING = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "reasoning_details",
    "reasoningContent",
    "thinking",
    "thinking_content",
    "thinking_blocks",
    "thoughts",
    "thought",
    "provider_specific_fields",
)
_INSIDE = ("text", "output_text", "content", "value", "parts", "summary", "json", "parsed", "input")
_DEEPEST = 8


def content_of(message: JSON) -> Content:
    """Read a message: its content, in the shapes that servers send, its reasoning and its refusal."""
    found = Content()
    if not isinstance(message, Mapping):
        _collect(message, found, found.text, 0)
        return found
    _collect(message.get("content") or message.get("parsed"), found, found.text, 0)
    unread = found.unread
    for name in _REASONING:
        _collect({"type": "reasoning", name: message.get(name)}, found, found.reasoning, 0)
        if any(part.strip() for part in found.reasoning):
            break  # servers send the same reasoning under several names
    _collect(message.get("refusal"), found, found.refusal, 0)
    found.unread = unread and not any(part.strip() for part in found.text)
    return found


def called_with(message: JSON) -> str:
    """Return the arguments of the first tool that a message calls; empty if it calls none."""
    if not isinstance(message, Mapping):
        return ""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else message
    function = call.get("function") or call.get("function_call") if isinstance(call, Mapping) else None
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if isinstance(arguments, Mapping):
        return json.dumps(arguments, ensure_ascii=False)
    return arguments if isinstance(arguments, str) else ""


def _collect(value: JSON, found: Content, into: list[str], depth: int) -> None:
    """Add the texts of a value to `into`, and those of parts that say so to the reasoning or the refusal."""
    if value is None or value is False:
        return
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, list) and depth < _DEEPEST:
        for part in value:
            _collect(part, found, into, depth + 1)
    elif isinstance(value, Mapping) and value and depth < _DEEPEST:
        kind = str(value.get("type") or "")
        if "refusal" in kind or "refusal" in value:
            into = found.refusal
            inside: tuple[str, ...] = ("refusal", *_INSIDE)
        elif into is found.reasoning or "reasoning" in kind or "thinking" in kind or "thought" in kind:
            into = found.reasoning
            inside = (*_REASONING, "reasoningText", *_INSIDE)
        elif {"title", "video_prompt"} <= value.keys():  # a server that has parsed the JSON
            into.append(json.dumps(value, ensure_ascii=False))
            return
        else:
            inside = _INSIDE
        name = next((name for name in inside if value.get(name) is not None), None)
        if name is not None:
            _collect(value[name], found, into, depth + 1)
        elif into is not found.reasoning and not value.keys() & set(inside):
            found.unread = True
    elif value != {} and value != []:
        found.unread = True


def usage_of(body: Mapping[str, JSON], choice: JSON) -> dict[str, int] | None:
    """Return token counts; None if the server counts none.

    `output` includes reasoning tokens, which have their own count if the server gives one. Some servers count them
    outside the completion's tokens, in the total alone.
    """
    usage = body.get("usage") or (choice.get("usage") if isinstance(choice, Mapping) else None)
    if not isinstance(usage, Mapping):
        return None
    read = _counted(usage, "prompt_tokens", "input_tokens", "prompt_eval_count", "promptTokens", "inputTokens")
    written = _counted(usage, "completion_tokens", "output_tokens", "eval_count", "completionTokens", "outputTokens")
    total = _counted(usage, "total_tokens", "totalTokens")
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    thought = _counted(details, "reasoning_tokens") if isinstance(details, Mapping) else None
    if thought is None:
        thought = _counted(usage, "reasoning_tokens", "reasoningTokens")
    if total is not None and read is not None:
        beyond, cached = total - read - (written or 0), _cached(usage)
        if beyond == cached + (thought or 0):  # a cached part of the prompt may be counted outside, too
            beyond -= cached
        if beyond > 0:
            written = (written or 0) + beyond
    if thought is not None and written is not None and thought > written:
        written += thought
    tokens = {"input": read, "output": written, "reasoning": thought}
    known = {kind: count for kind, count in tokens.items() if count is not None}
    return known if any(known.values()) else None


def _cached(usage: Mapping[str, JSON]) -> int:
    """Return the input tokens from a cache, which some servers count outside of the prompt's."""
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    names = ("cache_read_input_tokens", "cache_creation_input_tokens", "prompt_cache_hit_tokens", "cached_tokens")
    outer = sum(_counted(usage, name) or 0 for name in names)
    inner = _counted(details, "cached_tokens") if isinstance(details, Mapping) else 0
    return max(outer, inner or 0)


def _counted(usage: Mapping[str, JSON], *names: str) -> int | None:
    return next((count for name in names if (count := _count(usage.get(name))) is not None), None)


def _count(value: JSON) -> int | None:
    """Return a number of tokens; None if the value is no whole number of at least 0."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 16:
        return int(value)
    return int(value) if type(value) in (int, float) and 0 <= value < 1e15 and value == value // 1 else None


_BLANKS = re.compile(r"\s+|(\W)\1{3,}")
_SHORT = 1000
_CHARS_PER_TOKEN, _AT_A_LIMIT = 6, 5
"""More characters than a token of any language holds on average: English has 4 to 5. The second is for counts that are
just those of a usual context, which is where servers cut."""
_CONTEXTS = tuple(1024 * 2**power for power in range(8))
_WIDE_PER_TOKEN = 3
"""The same for scripts with a character for a syllable or a word."""


def _fewest_chars(text: str) -> int:
    return _AT_A_LIMIT if text.isascii() else _WIDE_PER_TOKEN


def reads_less(texts: Iterator[str], body: Mapping[str, JSON], tokens: int | None) -> bool:
    """Return whether a server counted fewer tokens than a prompt can have: it was cut. Short prompts tell nothing."""
    text = " ".join(texts)
    usage = body.get("usage")
    if not tokens or not isinstance(usage, Mapping) or len(text) < tokens * _fewest_chars(text):
        return False
    text = _BLANKS.sub(" ", text)
    if len(text) < _SHORT:
        return False
    tokens += _cached(usage)
    at_limit = any(abs(tokens - context) <= context // 100 for context in _CONTEXTS)
    wide = sum(char >= "\u2e80" for char in text)
    return tokens < (len(text) - wide) / (_AT_A_LIMIT if at_limit else _CHARS_PER_TOKEN) + wide / _WIDE_PER_TOKEN


_VARIANT = re.compile(r":(free|nitro|floor|online|extended|exacto|beta|latest|thinking|cloud)$")
_REVISION = re.compile(r"@(main|master|[0-9a-f]{7}|[0-9a-f]{40})$")
_FILE = re.compile(r"\.(gguf|ggml|bin|safetensors|llamafile)$")
_REGION = re.compile(r"^(?:(?:us|eu|apac|global)\.)?(?:[a-z0-9]+\.)(?=[a-z])")
_DATE = re.compile(r"[-@](20\d\d-?\d\d-?\d\d|\d{6}|\d{4}|\d\d-\d\d|\d{3})$")
_LOOSE = re.compile(r"-(latest|preview|exp|experimental|stable|v\d+:\d+)$")


def same_model(asked: str, answered: str) -> bool:
    """Return whether two ids can be of one model: they may differ in provider, case, date and file name."""
    if (
        asked == answered
        or _plain(asked) == _plain(answered)
        or _plain(asked).replace("-", "") == _plain(answered).replace("-", "")
    ):
        return True
    (asked_base, asked_date), (base, date) = _undated(_plain(asked)), _undated(_plain(answered))
    if asked_base == base and (asked_date == date or not (asked_date and date)):
        return True
    # A server of one model file names it by its path: the name that the user gave it may be a part of that.
    return bool(_FILE.search(answered.lower())) and (asked_base in base or base in asked_base)


def _plain(name: str) -> str:
    last = re.split(r"[/\\]", name.strip().lower().rstrip("/\\"))[-1]
    last = _FILE.sub("", _VARIANT.sub("", _REVISION.sub("", last.partition("#")[0])))
    if "anthropic." in last or last.startswith(("us.", "eu.", "apac.", "global.")):
        last = _REGION.sub("", last)
    return re.sub(r"[\s._]+", "-", last)


def _undated(name: str) -> tuple[str, str]:
    """Split the date or version of a snapshot from a model's name."""
    dates = ""
    while match := _DATE.search(name) or _LOOSE.search(name):
        dates = "" if match.re is _LOOSE else match[1] + dates
        name = name[: match.start()]
    return name, dates

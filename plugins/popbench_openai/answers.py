"""Reads a chat API's JSON as a completion. Missing fields are tolerated; an answer that holds nothing is an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import popbench
from popbench import JSON
from popbench_openai.accepted import ChatRequest
from popbench_openai.bodies import first_choice
from popbench_openai.faults import CallError, Kind
from popbench_openai.options import ChatOptions
from popbench_openai.replies import (
    Ending,
    called_with,
    content_of,
    ending,
    is_filtered,
    reads_less,
    same_model,
    usage_of,
)

EMPTY_TRIES = 3
"""How often a model may answer with nothing before that counts as its answer, or as the server's error."""

_LOST = 8
"""A server that counts more output tokens than this, and sends no text, has lost the text."""

_ENDS = ("finish_reason", "finishReason", "stop_reason")
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict", "n_predict")


class NoTextError(CallError):
    """A whole answer without any text. `lost`: text was written, and the server sent none of it."""

    def __init__(self, completion: popbench.Completion) -> None:
        super().__init__(Kind.PASSING, "answered with nothing", answered=True)
        self.completion = completion
        self.lost = (completion.usage or {}).get("output", 0) > _LOST


def read(
    request: ChatRequest, body: JSON, seconds: float, hide: Callable[[str], str], options: ChatOptions
) -> popbench.Completion:
    """Read an answer; raises CallError if there is none, or the model or its provider refuses.

    `hide` removes secrets from a text.
    """
    choice = first_choice(body)
    usage = usage_of(body, choice) if isinstance(body, Mapping) else None
    try:
        return _read(request, body, choice, usage, seconds, hide, options)
    except CallError as fault:
        fault.usage = usage or {}
        raise


def _read(
    request: ChatRequest,
    body: JSON,
    choice: JSON,
    usage: dict[str, int] | None,
    seconds: float,
    hide: Callable[[str], str],
    options: ChatOptions,
) -> popbench.Completion:
    message = choice.get("message") or choice.get("delta") or choice.get("text") if isinstance(choice, dict) else None
    why = next((choice[name] for name in _ENDS if choice.get(name)), None) if isinstance(choice, dict) else None
    end = ending(why)
    content = content_of(message)
    text = hide("".join(content.text))
    if end in ("whole", "unknown") and not text.strip() and is_filtered(body):
        end = "filter"
    if end == "filter":
        raise CallError(Kind.INVALID, "stopped by the provider's content filter", reason="content filter")
    if not isinstance(choice, dict) or (not message and end in ("whole", "unknown")):
        raise CallError(Kind.PASSING, "answered without a message", answered=True)
    refusal = " ".join(" ".join(content.refusal).split())
    if refusal or end == "refusal":
        said = hide(refusal or " ".join(text.split()) or "without a word")[:300]
        raise CallError(Kind.INVALID, f"the model refused: {said}", reason="refusal")
    remarks = list(request.remarks)
    if not text.strip() and (arguments := called_with(message)):
        text = hide(arguments)
        remarks.append("the answer stood in a call of a tool, not in the content")
    if end == "broken" or (end == "unknown" and not text.strip()):
        name = f"finish_reason {' '.join(str(why).split())[:60]}" if why else "no finish_reason"
        raise CallError(Kind.PASSING, f"the provider failed while it answered ({name})", answered=True)
    if not text.strip() and content.unread:
        raise CallError(Kind.ITEM, "content in a shape that is not read", "does the server speak OpenAI's protocol?")
    reasoning = hide("\n\n".join(part for part in content.reasoning if part.strip()))
    if not text.strip() and reasoning and end == "whole":
        text, reasoning = reasoning, ""
        remarks.append("the answer stood in the reasoning, not in the content: check the server's reasoning parser")
    parsed = _object(text)
    if request.chat.reasons and request.format == "json_schema" and parsed is not None:
        first = parsed.get("reasoning")
        reasoning = "\n\n".join(part for part in (reasoning, first if isinstance(first, str) else "") if part)
    remarks += _remarks(request, body, end, text, options, ignored=parsed is None)
    if usage is not None and reads_less((str(one["content"]) for one in request.messages), body, usage.get("input")):
        remarks.append(
            "the server counted fewer tokens than the prompt has, and may have read only a part of it: "
            "give it a larger context (Ollama: num_ctx)"
        )
    completion = popbench.Completion(
        request.chat.id,
        text,
        reasoning or None,
        usage,
        seconds,
        remarks=tuple(dict.fromkeys(remarks)),
        cut=end in ("cut", "context"),
    )
    if not text.strip() and end == "whole":
        raise NoTextError(completion)
    return completion


def _remarks(
    request: ChatRequest, body: JSON, end: Ending, text: str, options: ChatOptions, *, ignored: bool
) -> Iterator[str]:
    before = "" if text.strip() else " before any answer"
    if end == "cut":
        given = next((f'extra_body={{"{name}":N}}' for name in _LIMITS if name in options.extra_body), "max_tokens=")
        yield f"cut at the limit of tokens{before}: allow more with {given}"
    if end == "context":
        yield f"cut at the end of the context{before}: choose a smaller RAG size, or a larger context of the server"
    if request.format != "off" and ignored and end not in ("cut", "context"):
        yield f"the server ignored response_format {request.format}"
    answered = body.get("model") if isinstance(body, dict) else None
    if isinstance(answered, str) and answered.strip() and not same_model(options.model, answered):
        shown = answered.strip() if "\\" not in answered and not answered.startswith("/") else ""
        shown = shown or answered.strip().replace("\\", "/").rstrip("/").rpartition("/")[2]
        yield f"asked {options.model}, answered by {' '.join(shown.split())[:100]}"


def _object(text: str) -> dict[str, JSON] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def add(spent: dict[str, float], usage: Mapping[str, float] | None) -> dict[str, float]:
    """Add a usage to what was spent on earlier attempts, and return that."""
    for kind, count in (usage or {}).items():
        spent[kind] = spent.get(kind, 0) + count
    return spent

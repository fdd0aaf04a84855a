"""Asks a chat model through LiteLLM: one call per chat, made by `popbench.concurrently`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeGuard

import popbench
from popbench import JSON
from popbench.engines import Attempts
from popbench.judging import PictureChat
from popbench_litellm.faults import SMALLER, PassingError, RefusedError, RejectedError, judged
from popbench_litellm.hiding import Hider
from popbench_litellm.library import Facts, library
from popbench_litellm.options import ChatOptions
from popbench_litellm.session import Session

_REJECTED = 3
"""After this many equal rejections before the first answer, the options are wrong, not the prompts."""
_MOST_TOKENS = 1e15
_FEWER = "show fewer frames (frames=) or smaller ones (size=)"
_BOUNDS = ("minLength", "maxLength")
"""Bounds that not every provider accepts in a schema. The harness checks answers in any case."""


class Calls:
    """All calls of one `generate`."""

    def __init__(self, options: ChatOptions, facts: Facts, key: str | None) -> None:
        self._session = Session()
        self._options = options
        self._facts = facts
        self._hide = Hider(key or "")
        self._works = False
        self._rejected: Counter[str] = Counter()
        decoding = {name: getattr(options, name) for name in ("temperature", "top_p", "max_tokens")}
        given = {name: value for name, value in decoding.items() if value is not None} | options.params
        self._fixed: dict[str, Any] = {
            "model": options.model,
            "timeout": options.timeout,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": not given,  # what the label says is not left out in silence
            **given,
        }
        if options.api_base is not None:
            self._fixed["api_base"] = options.api_base
        if key is not None:
            self._fixed["api_key"] = key

    async def __aenter__(self) -> Calls:
        """Do nothing: LiteLLM opens connections when they are needed."""
        return self

    async def __aexit__(self, *details: object) -> None:
        """End what LiteLLM has left."""
        await self._session.close()

    async def __call__(self, chat: popbench.Chat) -> popbench.Completion | popbench.Failure:
        """Answer one chat; raises PassingError if it may be tried again, ComponentError if no call can succeed."""
        options = self._options
        try:
            answer = await self._session.call(library().acompletion(**self._request(chat)), options.timeout)
        except TimeoutError:
            raise PassingError(f"{options.model}: no answer within timeout={options.timeout:g} s", {}) from None
        except Exception as error:  # LiteLLM raises its own errors, and those of each provider's code
            shorter = _FEWER if isinstance(chat, PictureChat) else SMALLER
            provider, variable = self._facts.provider, options.api_key_env
            fault = judged(error, options.model, provider, variable, self._hide, shorter=shorter)
        else:
            self._works = True
            return self._read(chat, answer)
        if isinstance(fault, RefusedError):
            return popbench.Failure(chat.id, str(fault), invalid=True, reason="content filter")
        if isinstance(fault, RejectedError):
            self._rejected[str(fault)] += 1
            if self._works or self._rejected[str(fault)] < _REJECTED:
                return popbench.Failure(chat.id, str(fault))
            raise popbench.ComponentError(str(fault))  # it does not depend on the prompt
        raise fault

    def _request(self, chat: popbench.Chat) -> dict[str, Any]:
        messages = chat.shown() if isinstance(chat, PictureChat) else [dict(message) for message in chat.messages]
        request = {**self._fixed, "messages": messages}
        if self._options.seed and "seed" in self._facts.params:
            request["seed"] = chat.seed
        # A schema would forbid the reasoning that a chat asks for.
        if self._options.structured == "auto" and self._facts.takes_schema and chat.schema and not chat.reasons:
            name = "judgement" if isinstance(chat, PictureChat) else "draft"
            schema = {"name": name, "strict": True, "schema": _without_bounds(chat.schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _read(self, chat: popbench.Chat, answer: Any) -> popbench.Completion | popbench.Failure:
        """Read an answer; raises PassingError if it holds no message."""
        choices = getattr(answer, "choices", None)
        if not choices or (message := getattr(choices[0], "message", None)) is None:
            raise PassingError(f"{self._options.model}: answered without a message", {})
        usage = _usage(getattr(answer, "usage", None))
        text = self._hide(message.content or "")
        details = getattr(message, "provider_specific_fields", None) or {}
        refusal = getattr(message, "refusal", None)
        if refusal or details.get("stop_reason") == "refusal":
            said = " ".join(self._hide(refusal or message.content or "without a word").split())[:300]
            return popbench.Failure(chat.id, f"the model refused: {said}", invalid=True, reason="refusal", usage=usage)
        end = choices[0].finish_reason
        if end == "content_filter":
            why = "stopped by the provider's content filter"
            return popbench.Failure(chat.id, why, invalid=True, reason="content filter", usage=usage)
        reasoning = self._hide(getattr(message, "reasoning_content", None) or "")
        remarks = []
        if end == "length":
            before = "" if text.strip() else " before any answer"
            remarks.append(f"cut at the limit of tokens{before}: allow more with max_tokens=")
        return popbench.Completion(chat.id, text, reasoning or None, usage, remarks=tuple(remarks), cut=end == "length")


class PatientCalls:
    """Calls that make further attempts after passing faults, each of them."""

    def __init__(self, calls: Calls, retry: popbench.Retry, per_minute: float | None) -> None:
        self._calls = calls
        self._attempts = Attempts(retry, per_minute)

    async def __aenter__(self) -> PatientCalls:
        """Open the calls."""
        await self._calls.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """Close them."""
        await self._calls.__aexit__(*details)

    async def __call__(self, chat: PictureChat) -> popbench.Completion | popbench.Failure:
        """Answer one chat; raises ComponentError if no call can succeed."""
        answer: popbench.Completion | popbench.Failure = await self._attempts.run(chat, _Attempt(self._calls, chat))
        return answer


class _Attempt:
    """The attempts of one chat, for `Attempts`."""

    def __init__(self, calls: Calls, chat: PictureChat) -> None:
        self._calls, self._chat = calls, chat
        self.has_job = False

    async def attempt(self) -> popbench.Completion | popbench.Failure:
        """Make one attempt; raises PassingError if it may be tried again."""
        return await self._calls(self._chat)


def _usage(told: Any) -> dict[str, float] | None:
    """Return the tokens of an answer: `reasoning` ones are a part of `output`."""
    counted = {"input": getattr(told, "prompt_tokens", None), "output": getattr(told, "completion_tokens", None)}
    details = getattr(told, "completion_tokens_details", None)
    counted["reasoning"] = getattr(details, "reasoning_tokens", None) or None
    usage = {kind: float(number) for kind, number in counted.items() if _is_count(number)}
    return usage if {"input", "output"} <= usage.keys() else None


def _is_count(number: Any) -> TypeGuard[float]:
    return isinstance(number, int | float) and 0 <= number < _MOST_TOKENS


def _without_bounds(schema: JSON) -> Any:
    if isinstance(schema, Mapping):
        # What is named like a bound and holds a schema is a field.
        bounds = {name for name in _BOUNDS if not isinstance(schema.get(name), Mapping)}
        return {name: _without_bounds(value) for name, value in schema.items() if name not in bounds}
    return [_without_bounds(value) for value in schema] if isinstance(schema, list) else schema

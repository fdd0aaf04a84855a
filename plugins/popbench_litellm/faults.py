"""Classifies LiteLLM's errors by their consequence: try again, the failure of one sample, or the end of the model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import openai

import popbench
from popbench.credentials import credentials_in
from popbench_litellm.hiding import Hider
from popbench_litellm.library import CHAT, close, library

_NO_MONEY = re.compile(
    r"insufficient.?(quota|balance|funds|credit)|credit balance is too low|billing_(hard_limit|not_active)"
    r"|not have enough credits|exhausted balance|arrearage|account is in good standing",
    re.IGNORECASE,
)
"""Not: exceeded your current quota. Google says so of the quota of a minute."""
_RETRY_DELAY = re.compile(r'"retryDelay":\s*"([\d.]+)s"')
"""Google's word for how long to wait, which stands in the body."""
FILTERED = re.compile(
    r"content.?(filter|policy|management|checker)|moderation|safety (system|filter|policy|settings)|prohibited.?content"
    r"|data_?inspection|inappropriate content|sensitive (content|words?)|contain sensitive|usage guidelines"
    r"|responsible ai",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?:(?:\w+Exception\s+)?(?:litellm\.)?\w*(?:Error|Exception|Timeout)\b\s*(?::|-)\s*)+")
_SUFFIX = re.compile(r"\s*Handle with `litellm\.\w+`\.\s*$|\s*Traceback \(most recent call last.*$", re.DOTALL)
_UNREAD = re.compile(r"Traceback \(most recent call last|Error converting to valid response")
"""An answer that LiteLLM could not read, whatever the error is called."""
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
"""Links to files hold keys of their own."""
_LONGEST = 300
SMALLER = "choose a smaller RAG size"
"""What to do about a prompt that is too long."""


class PassingError(popbench.PopbenchError):
    """An attempt that may succeed later. `headers` may hold how long to wait."""

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class LimitedError(PassingError):
    """The provider was asked too often."""


class RejectedError(popbench.PopbenchError):
    """The provider does not take this request."""


class RefusedError(popbench.PopbenchError):
    """The provider's content filter refuses this request."""


def judged(
    error: Exception,
    model: str,
    provider: str,
    key_variable: str | None,
    hide: Hider,
    options: str = "structured=off, seed=false, params",
    kinds: frozenset[str] = CHAT,
    shorter: str = SMALLER,
) -> Exception:
    """Return what stands for an error of LiteLLM: a class of this module, or ComponentError if no call can succeed.

    What LiteLLM should not raise ends the model too, without a traceback, which might hold a key. `options` are those
    to check where a request is rejected, `kinds` those of the models that are looked through for one that is unknown,
    `shorter` what to do about a prompt that is too long.
    """
    litellm = library()
    if not isinstance(error, openai.OpenAIError):
        return popbench.ComponentError(hide(f"{model}: LiteLLM raised {type(error).__name__}: {error}"))
    said = hide(words_of(error))
    line = f"{model}: {said}"
    codes = {str(code) for each in chain(error) if (code := getattr(each, "code", None))}
    status = getattr(error, "status_code", None)
    if "insufficient_quota" in codes or status == 402 or (status in (400, 403, 429) and _NO_MONEY.search(said)):
        return popbench.ComponentError(f"{line}: top up the account at {provider}, then run the same command again")
    if isinstance(error, litellm.ContextWindowExceededError):
        return RejectedError(f"{line}: the prompt is longer than this model takes: {shorter}")
    if isinstance(error, litellm.UnsupportedParamsError):
        return popbench.ComponentError(f"{model} does not take an option: {said.partition('. ')[0]}")
    filtered = "content_filter" in codes or (status in (400, 422) and FILTERED.search(said))
    if isinstance(error, litellm.ContentPolicyViolationError) or filtered:
        return RefusedError(f"refused by the provider's content filter: {said}")
    if status == 401:
        return popbench.ComponentError(f"{line}: check the key in {_variables(provider, key_variable)}")
    if status == 403:
        return popbench.ComponentError(f"{line}: this key may not use the model: choose another one, or another key")
    if status == 404:
        return popbench.ComponentError(f"{line}: check model= and api_base={close(model, kinds)}")
    headers = _headers(error)
    if "retry-after" not in headers and (delay := _RETRY_DELAY.search(str(error))):
        headers = {"retry-after": delay[1]}
    if isinstance(error, litellm.RateLimitError):
        return LimitedError(line, headers)
    passing = litellm.Timeout | litellm.APIConnectionError | litellm.InternalServerError
    lasting = isinstance(status, int) and status < 500 and status not in (408, 409, 425)
    if isinstance(error, passing) or not lasting or _UNREAD.search(str(error)):
        return PassingError(line, headers)
    return RejectedError(f"{line}: check the options ({options})")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made from: LiteLLM's own errors lack codes and headers of the answer."""
    now: BaseException | None = error
    for _ in range(10):
        if now is None:
            return
        yield now
        now = now.__cause__ or now.__context__


def _headers(error: BaseException) -> Mapping[str, str]:
    """Return the headers of the answer that an error was made from; empty if there was none."""
    for each in chain(error):
        for headers in (
            getattr(each, "litellm_response_headers", None),
            getattr(getattr(each, "response", None), "headers", None),
        ):
            if headers:
                return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def words_of(error: Exception) -> str:
    """Return what the provider said, without LiteLLM's names of errors and without the JSON around it."""
    refused = next((each for each in chain(error) if isinstance(each, ConnectionError)), None)
    if refused is not None:
        return f"connection failed ({os.strerror(refused.errno) if refused.errno else refused})"
    text = _SUFFIX.sub("", str(error))
    text = _QUERY.sub(r"\1", _PREFIX.sub("", text)).strip().rstrip(".")
    if _UNREAD.search(str(error)):
        return f"an answer in a shape that is not read ({' '.join(text.split())[:_LONGEST]})"
    start = text.find("{")
    if start >= 0:
        with suppress(ValueError):
            text = text_of(json.loads(text[start:])) or text
    return " ".join(text.split())[:_LONGEST] or type(error).__name__


def text_of(body: Any) -> str:
    """Return the message in an error's JSON; empty if there is none."""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    message = (inner.get("message") or inner.get("detail")) if isinstance(inner, dict) else inner
    if isinstance(message, list):  # as validators write it
        message = "; ".join(str(each["msg"]) for each in message if isinstance(each, dict) and "msg" in each)
    return message if isinstance(message, str) else ""


def _variables(provider: str, key_variable: str | None) -> str:
    """Return the variables that a provider's key may stand in."""
    if key_variable:
        return key_variable
    starts = (provider.partition("_")[0].upper(), *(("GOOGLE",) if provider == "gemini" else ()))
    held = [name for name, value in os.environ.items() if any(credentials_in({name: value}))]
    names = sorted(name for name in held if name.startswith(starts))
    return " or ".join(names) or f"the environment, for {provider} (another variable: api_key_env=)"

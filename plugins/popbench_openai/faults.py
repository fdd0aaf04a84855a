"""Classifies the failures of calls by their consequence: try again, give up the item, or end."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from enum import Enum

from popbench import JSON


class Kind(Enum):
    """The consequence of a failure."""

    PASSING = "try again"
    ITEM = "this item cannot be had"
    INVALID = "the model's own refusal of this item"
    FORMAT = "the server does not take this response_format"
    FATAL = "no call can succeed"


class CallError(Exception):
    """One attempt that gave no answer.

    `remedy` says what the user can do; `retry_after` is in seconds. `unreachable`: nothing listens at the address;
    `answered`: the server answered with an error, perhaps only to this prompt.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        remedy: str = "",
        retry_after: float | None = None,
        *,
        unreachable: bool = False,
        answered: bool = False,
    ) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what
        self.remedy = remedy
        self.retry_after = retry_after
        self.unreachable = unreachable
        self.answered = answered


_PASSING = {408, 409, 425, 429}
_CONTEXT = re.compile(
    r"context.?length|maximum context|context window|context size|too many (input )?tokens|prompt is too long"
    r"|input is too long|input length should be|reduce the length|maximum number of tokens"
    r"|exceeds? .{0,40}(context|max_model_len|token limit|model's maximum)",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?(filter|policy|management)|moderation|(was|been|were|input) flagged|flagged (as|by|for)|responsibleai"
    r"|data_inspection|content exists risk|safety (system|filter|policy)",
    re.IGNORECASE,
)
_FORMAT = re.compile(
    r"response.?format|json.?schema|json.?object|json mode|structured.?output|guided|grammar", re.IGNORECASE
)
_NO_MONEY = re.compile(
    r"insufficient.?(quota|balance|funds|credit)|exceeded your current quota|billing_(hard_limit|not_active)",
    re.IGNORECASE,
)
_RATE_LIMIT = re.compile(r"rate.?limit", re.IGNORECASE)

_SMALLER = "the prompt is longer than this model takes: choose a smaller RAG size (--mode pe,k=N)"
_TOP_UP = "top up the account, then run the same command again"
_HINTS = (
    (re.compile(r"max_completion_tokens"), 'this model needs extra_body={"max_completion_tokens":N} for max_tokens=N'),
    (re.compile(r"\bseed\b"), "try seed=false"),
    (re.compile(r"temperature|top_p"), "leave temperature= and top_p= out"),
    (re.compile(r"max_tokens"), "try another max_tokens="),
    (re.compile(r"\bmodel\b|\bpinned\b"), "check model="),
)


def of_status(status: int, body: JSON, retry_after: float | None, key_variable: str, *, formatted: bool) -> CallError:
    """Classify an error answer. `formatted`: the request had a response_format."""
    error = _error_of(body)
    said = " ".join(str(error.get(name) or "") for name in ("code", "type", "param", "message"))
    what = f"{status} {_message(error, body)}".strip(" .")
    limited = status == 429 and bool(_RATE_LIMIT.search(f"{error.get('code')} {error.get('type')}"))
    if status == 402 or (status in (403, 429) and _NO_MONEY.search(said) and not limited):
        return CallError(Kind.FATAL, what, f"no credit is left there: {_TOP_UP}")
    if status in _PASSING or status >= 500:
        return CallError(Kind.PASSING, what, "try later", retry_after, answered=True)
    if _FILTERED.search(said) and status not in (401, 404):
        return CallError(Kind.INVALID, f"refused by the provider's content filter: {what}")
    if status == 401:
        remedy = f"check the key in {key_variable}" if key_variable else "it needs a key: api_key_env=VARIABLE"
        return CallError(Kind.FATAL, what, remedy)
    if status == 403:
        return CallError(Kind.FATAL, what, "this key may not use the model: choose another model= or another key")
    if status == 404:
        return CallError(Kind.FATAL, what, "check model= and base_url= (the path of most servers ends in /v1)")
    if status == 413 or _CONTEXT.search(said):
        return CallError(Kind.ITEM, what, _SMALLER)
    if formatted and _FORMAT.search(said):
        return CallError(Kind.FORMAT, what)
    hint = next((hint for pattern, hint in _HINTS if pattern.search(said)), "check the options against what it takes")
    return CallError(Kind.ITEM, what, hint)


def of_body(body: JSON, key_variable: str, *, formatted: bool) -> CallError | None:
    """Classify an answer of status 200 that holds an error; None if it holds none."""
    if not isinstance(body, dict) or not body.get("error"):
        return None
    error = _error_of(body)
    code = error.get("code")
    status = int(code) if isinstance(code, int | str) and re.fullmatch(r"[45]\d\d", str(code)) else 500
    return of_status(status, body, None, key_variable, formatted=formatted)


def of_connection(error: BaseException) -> CallError:
    """Classify an error of the transport by its root cause: the other errors of the chain only wrap it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"certificate verify failed: {getattr(error, 'verify_message', error)}"
        return CallError(Kind.FATAL, f"connection failed ({why})", "check base_url=, or trust it with SSL_CERT_FILE")
    if isinstance(error, ssl.SSLError):
        why = str(getattr(error, "reason", None) or error).replace("_", " ").lower()
        if "wrong version" in why or "record layer" in why:
            return CallError(Kind.FATAL, f"connection failed ({why})", "it speaks no TLS: http:// for https://?")
        return CallError(Kind.PASSING, f"connection failed ({why})")
    lost = isinstance(error, OSError) and error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH)
    unreachable = lost or isinstance(error, socket.gaierror)
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        why = os.strerror(error.errno)
    else:
        why = " ".join(str(error).split()) or type(error).__name__
    return CallError(Kind.PASSING, f"connection failed ({why})", unreachable=unreachable)


def _error_of(body: JSON) -> Mapping[str, JSON]:
    """Return the error of a body, in any of the shapes that servers use."""
    if not isinstance(body, dict):
        return {"message": body} if isinstance(body, str) else {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": str(error)}


def _message(error: Mapping[str, JSON], body: JSON) -> str:
    for name in ("message", "detail", "msg", "code"):
        if error.get(name):
            return " ".join(re.sub(r"<[^>]*>", " ", str(error[name])).split())[:300]
    return " ".join(re.sub(r"<[^>]*>", " ", str(body or "")).split())[:300]

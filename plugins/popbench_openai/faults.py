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
from popbench_openai.bodies import error_in, told


class Kind(Enum):
    """The consequence of a failure."""

    PASSING = "try again"
    ITEM = "this item cannot be had"
    INVALID = "the model's own refusal of this item"
    FORMAT = "the server does not take this response_format"
    SYSTEM = "the server does not take a system message"
    FATAL = "no call can succeed"


class CallError(Exception):
    """One attempt that gave no answer.

    `remedy` says what the user can do; `retry_after` is in seconds. `unreachable`: nothing listens at the address;
    `answered`: the server answered with an error, perhaps only to this prompt; `unexplained`: the error does not
    say what is wrong. `refused`: the server says that it has done nothing. `reason` is that of an invalid answer.
    `usage` are the tokens that the server counted all the same.
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
        unexplained: bool = False,
        refused: bool = False,
        reason: str = "",
    ) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what
        self.remedy = remedy
        self.retry_after = retry_after
        self.unreachable = unreachable
        self.answered = answered
        self.unexplained = unexplained
        self.refused = refused
        self.reason = reason
        self.usage: Mapping[str, float] = {}


_PASSING = {408, 409, 425, 429}
_CONTEXT = re.compile(
    r"context.?(length|size|window)|maximum context|too many (input )?tokens(?!\W*please (wait|retry|try))"
    r"|\b(prompt|input|text|content|question|messages?|tokens)\b.{0,20} too long|max(imum)? length of"
    r"|input length (should be|exceed)|reduce the length"
    r"|maximum (number of tokens|(input|prompt|sequence|allowed) length)"
    r"|\b(prompt|inputs?|messages?|content)\b.{0,20} exceeds? (the )?max(imum)? length"
    r"|length of (the )?(content|prompt|input|messages?|text) (must|should|can|exceeds)"
    r"|\b(inputs?|prompt|tokens)\b.{0,60}must (be <=|have (less|fewer) than|be less than|not exceed)"
    r"|(is )?longer than .{0,40}(context|maximum|limit)|\btokens? .{0,30}exceeds? .{0,20}(limit|maximum)"
    r"|string_above_max"
    r"|exceeds? .{0,40}(context|max_model_len|token limit|model's maximum|maximum (number of )?(input )?tokens)"
    r"|上下文|超长|(长度|tokens?).{0,12}(超|过长|限制)|(超|过长).{0,12}长度",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?(filter|policy|management)|moderation|(was|been|were|input) flagged|flagged (as|by|for)|responsibleai"
    r"|data_?inspection|content exists risk|safety (system|filter|policy|reasons|settings)|(?<!case[ -])sensitive"
    r"|prohibited.?content|inappropriate content|violat\w+ .{0,40}polic|risk.?control|敏感|违规|不安全|风控"
    r"|内容.{0,10}审核",
    re.IGNORECASE,
)
_FORMAT = re.compile(
    r"response.?(format|schema|mime)|json.?schema|json.?object|json (mode|output)|structured.?output|guided|grammar"
    r"|constrained decod|output_config|\bschema is not|\boutlines\b|handle the requested parameters",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"(system|developer)['\"`]?[ _-](role|message|prompt|instruction)s?\b.{0,60}\b(not|un)\W?(supported|allowed|enabled"
    r"|permitted|available|accepted|implemented)|system.role"
    r"|(not|n't|no) (support|accept|allow|have|take)\w* (an? |any |the )?['\"`]?(system|developer)\b"
    r"|no .{0,30}\bsupports? (system|developer)\b|\b(system|developer) (prompt|message|role)s? .{0,12}disabled"
    r"|only .{0,40}\broles? (is|are)\b|roles? other than|roles? .{0,20}limited to"
    r"|only ['\"`]?user['\"`]?,? (and|or) ['\"`]?(assistant|model)"
    r"|roles? must alternate"
    r"|role['\"`]?:? ['\"`]?system|['\"`]system['\"`] is (not|in|un)|\bsystem is not (a|one)\b"
    r"|(invalid|unsupported) value:? ['\"`](system|developer)|\bsystem['\"`]? message must be"
    r"|(unknown|unsupported|unexpected|invalid|illegal|wrong)( message)? role"
    r"|role.{0,30}must be.{0,20}user|(should be|permitted:|must start with|first message).{0,30}\buser\b"
    r"|messages?\W{1,3}0\W{1,3}(\w+\W)?role|(不支持|不能).{0,8}system",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(
    r"insufficient.?(quota|balance|funds|credit)|exceeded your current quota|billing_(hard_limit|not_active)"
    r"|arrearage|account is in good standing|余额不足|欠费",
    re.IGNORECASE,
)
_RATE_LIMIT = re.compile(r"rate.?limit", re.IGNORECASE)
_BUSY = re.compile(
    r"rate.?limit|too many requests|throttl|overloaded|over capacity|try again|temporarily|timed? ?out"
    r"|(is|being|still) loading|频率|速率|限流|并发|繁忙|稍后",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"(invalid|incorrect|missing|wrong|expired|no|bad).{0,20}(api.?key|(access|auth\w*).?token|credential)|unauthor|no.?auth"
    r"|authenticat"
    r"|(api.?key|(access|auth\w*).?token).{0,30}(invalid|incorrect|expired|missing|not valid|required)|login fail"
    r"|鉴权|身份验证|密钥",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"\bmodels?\b(?!'s).{0,60}\b(not (exist|found|available)|doesn't exist|deprecated|retired|decommissioned"
    r"|discontinued|no longer|sunset|shut down|been removed)|model ['\"`]?[\w./:-]+['\"`]? is not supported"
    r"|(unknown|invalid|unsupported|no such) model\b|model_?not_?found|not a valid model|模型.{0,12}(不存在|下线|无效)",
    re.IGNORECASE,
)

_REJECTED = re.compile(
    r"bad.?request|invalid.?(param|request|argument|input)|validation.?error|unsupported.?(param|value)", re.IGNORECASE
)

SMALLER = "the prompt is longer than this model takes: choose a smaller RAG size (--mode pe,k=N)"
_TOP_UP = "top up the account, then run the same command again"
_CHECK_MODEL = "check model="
_CHECK_OPTIONS = "check the options against what it takes"
_HINTS = (
    (re.compile(r"max_completion_tokens"), 'this model needs extra_body={"max_completion_tokens":N} for max_tokens=N'),
    (re.compile(r"\bseed\b"), "try seed=false"),
    (re.compile(r"temperature|top_p"), "leave temperature= and top_p= out"),
    (re.compile(r"max_tokens"), "try another max_tokens="),
    (re.compile(r"json_validate_failed|generate JSON"), "try structured=off"),
    (
        re.compile(
            r"\b(images?|image_url|vision|multi-?modal)\b|content.{0,60}(must|should) be an? (valid )?str",
            re.IGNORECASE,
        ),
        "check that model= takes pictures",
    ),
    (re.compile(r"\bmodel|\bpinned\b|模型", re.IGNORECASE), _CHECK_MODEL),
)


def of_status(
    status: int,
    body: JSON,
    retry_after: float | None,
    key_variable: str,
    *,
    formatted: bool,
    system: bool = False,
) -> CallError:
    """Classify an error answer by its status and by what it says.

    `formatted`: the request had a response_format; `system`: it had a system message that can be merged.
    """
    said = told(body)
    what = f"{status} {said.text}".strip(" .")
    return _classify(status, what, said.words, retry_after, key_variable, formatted=formatted, system=system)


def of_body(body: JSON, key_variable: str, *, formatted: bool, system: bool = False) -> CallError | None:
    """Classify an answer of status 200 that holds an error; None if it holds none."""
    said = error_in(body)
    if said is None:
        return None
    what = said.text if said.status is None or str(said.status) in said.text else f"{said.status} {said.text}"
    what = what.strip(" .") or "answered with an error that says nothing"
    return _classify(said.status, what, said.words, None, key_variable, formatted=formatted, system=system)


def _classify(
    status: int | None,
    what: str,
    said: str,
    retry_after: float | None,
    key_variable: str,
    *,
    formatted: bool,
    system: bool,
) -> CallError:
    """Classify an error by its status, None for one in a body of status 200 that names none, and by its words."""
    known = status or 0
    limited = known == 429 and bool(_RATE_LIMIT.search(said)) and "insufficient_quota" not in said
    if known == 402 or (known in (0, 400, 403, 429) and _NO_MONEY.search(said) and not limited):
        return CallError(Kind.FATAL, what, f"no credit is left there: {_TOP_UP}")
    unexplained = known in (0, 500, 501) and not _BUSY.search(said)
    passing = CallError(Kind.PASSING, what, "try later", retry_after, answered=True, unexplained=unexplained)
    if known in _PASSING:
        return passing
    if _FILTERED.search(said) and known not in (401, 404) and known < 500:
        return CallError(Kind.INVALID, f"refused by the provider's content filter: {what}", reason="content filter")
    if known == 401 or (known in (0, 400) and _BAD_KEY.search(said)):
        remedy = f"check the key in {key_variable}" if key_variable else "it needs a key: api_key_env=VARIABLE"
        return CallError(Kind.FATAL, what, remedy)
    refused = (system and _SYSTEM.search(said)) or (formatted and _FORMAT.search(said))
    if known == 403 and not refused:
        return CallError(Kind.FATAL, what, "this key may not use the model: choose another model= or another key")
    if known == 404 and not refused:
        return CallError(Kind.FATAL, what, "check model= and base_url= (the path of most servers ends in /v1)")
    if known == 413 or _CONTEXT.search(said):
        return CallError(Kind.ITEM, what, SMALLER)
    if formatted and _FORMAT.search(said):
        return CallError(Kind.FORMAT, what)
    if _SYSTEM.search(said) and (system or known in (400, 422)):
        if system:
            return CallError(Kind.SYSTEM, what, "it takes no system message: leave out system_role=keep")
        return CallError(Kind.ITEM, what, "it was asked without one as well (system_role=merge): choose another model=")
    if known >= 500 or (known == 0 and _BUSY.search(said)):
        return passing
    hint = next((hint for pattern, hint in _HINTS if pattern.search(said)), _CHECK_OPTIONS)
    if hint == _CHECK_MODEL and _NO_MODEL.search(said):
        return CallError(Kind.FATAL, what, f"{hint}: the server has no model of this name, or no longer")
    if known or _REJECTED.search(said):
        return CallError(Kind.ITEM, what, hint, unexplained=hint in (_CHECK_OPTIONS, _CHECK_MODEL))
    return passing


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

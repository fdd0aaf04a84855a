"""Finds an error in a server's JSON, in any of the shapes that servers use, and a text in a message's content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from popbench import JSON

_TEXTS = (
    "message", "msg", "errormsg", "errmsg", "errormessage", "statusmsg", "detail", "details", "errordescription",
    "description", "faultstring", "reason", "title", "error", "errors", "exception", "cause",
)  # fmt: skip
"""Fields that hold the words of an error, best first; compared without case, `_` and `-`."""
_CODES = (
    "code", "errorcode", "errcode", "statuscode", "status", "httpstatus", "httpcode", "type", "errortype", "param",
    "loc",
)  # fmt: skip
_AROUND = (
    "baseresp", "error", "errors", "detail", "fault", "metadata", "raw", "header", "responsemetadata", "response",
    "data", "result", "output", "body",
)  # fmt: skip
"""Fields that have the error inside."""
_DEEPEST = 6
_LONGEST = 300
_ERRORS = ("error", "errors", "errormessage", "errormsg", "errmsg")
_ANSWER = ("choices", "usage", "model", "object", "id", "index", "role", "content")
_FINE = ("", "0", "200", "ok", "success", "succeeded", "successful", "completed", "none", "null", "false")
_FAILED = ("error", "failed", "failure", "fail")
_STATUS = re.compile(r"[45]\d\d")
_IN_TEXT = re.compile(r"\b(?:error code|status(?: code)?|http)\W{0,3}([45]\d\d)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a server says of an error: the text for people, all words of it, and the HTTP status that the body names."""

    text: str
    words: str
    status: int | None


def told(body: JSON) -> Told:
    """Read the body of an error answer."""
    text = _text(body) or (_line(body) if isinstance(body, str) else _line(json.dumps(body)) if body else "")
    words = " ".join(_words(body)) if not isinstance(body, str) else body
    named = [found for found in _statuses(body) if found] or [int(n) for n in _IN_TEXT.findall(words)[:1]]
    return Told(text, words[:4000], named[0] if named else None)


def error_in(body: JSON) -> Told | None:
    """Return the error that a body of status 200 holds; None if it holds none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    choice = first_choice(body)
    within = [choice.get(name) for name in ("message", "delta")] if isinstance(choice, Mapping) else []
    for part in (body, choice, *within):
        marked = next(_marked(part), None) if isinstance(part, Mapping) else None
        if marked is None:
            continue
        found = told({"error": marked, **({} if _has_words(marked) else _beside(part))})
        if found.status is None and (around := told(_beside(part)).status) is not None:
            return Told(found.text, found.words, around)
        return found
    if isinstance(choice, Mapping) and _failed(choice):
        whole = {**_beside(choice), "error": _said(choice)}
        return told(whole) if _has_words(whole) else Told("", "", None)
    failed = _failed(body)
    if choice is None or failed:
        rest = _rest(body)
        codes = [f"code {value}" for name, value in _fields(rest) if name in _CODES[:4] and not _fine(value)]
        found = told(rest if failed or _text(rest) else codes[:1])
        return found if found.text else None
    return None


def json_of(text: str) -> JSON:
    """Read a body; raises ValueError or RecursionError if it is no JSON.

    A text that is JSON itself is read as that, and of a stream of events the error, if there is one.
    """
    try:
        body = json.loads(text)
        return json.loads(body) if isinstance(body, str) and body[:1] in ("{", "[") else body
    except ValueError:
        for line in text.splitlines() if text.startswith("data:") else ():
            event = _inner(line)
            if error_in(event) is not None:
                return event
        raise


def first_choice(body: JSON) -> JSON:
    """Return the first choice of a body, None if there is none."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return choices[0] if isinstance(choices, list) and choices else None


def _marked(part: Mapping[str, JSON]) -> Iterator[JSON]:
    """Yield the errors that the fields of a body, a choice or a message hold."""
    for name, value in _fields(part):
        if not _fine(value) and (name in _ERRORS or (name == "baseresp" and isinstance(value, Mapping))):
            yield value


def _beside(part: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the fields of a body, a choice or a message that may tell more of an error."""
    return {name: value for name, value in part.items() if name not in _ANSWER}


def _failed(part: Mapping[str, JSON]) -> bool:
    """Return whether a body or a choice says that it failed."""
    state = {name: str(value).lower() for name, value in _fields(part) if isinstance(value, str | bool)}
    kinds = (state.get("type"), state.get("object"))
    return state.get("status") in _FAILED or "error" in kinds or state.get("success") == "false"


def _said(choice: Mapping[str, JSON]) -> JSON:
    """Return what a failed choice has instead of an answer."""
    message = choice.get("message")
    return message.get("content") if isinstance(message, Mapping) else message


def _rest(body: Mapping[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in body.items() if name not in ("choices", "usage", "model", "id")}


def _fields(value: Mapping[str, JSON]) -> Iterator[tuple[str, JSON]]:
    for name, item in value.items():
        yield re.sub(r"[_-]", "", str(name)).lower(), item


def _fine(value: JSON) -> bool:
    """Return whether an error field says that there is none: null, false, empty, or an object with code 0."""
    if isinstance(value, Mapping):
        fields = dict(_fields(value))
        codes = [fields[name] for name in _CODES[:4] if name in fields]
        if any(code not in (None, "") for code in codes):
            return all(_fine(code) for code in codes)
        return all(_fine(item) for item in fields.values())
    if isinstance(value, list):
        return all(_fine(item) for item in value)
    return value is None or str(value).strip().lower() in _FINE


def _has_words(value: JSON) -> bool:
    return bool(_text(value))


def _line(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:_LONGEST]


def _inner(text: str) -> JSON:
    """Return the object or list that a text writes as JSON, alone or after other words; None if there is none."""
    starts = [at for at in (text.find("{"), text.find('[{"')) if at >= 0]
    if not starts:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, min(starts))
    except (ValueError, RecursionError):
        return None
    return value if value and isinstance(value, dict | list) else None


def _text(value: JSON, depth: int = 0) -> str:
    """Return the words of an error for people; empty if there are none."""
    if depth > _DEEPEST:
        return ""
    if isinstance(value, str):
        inner = _inner(value)
        return (_text(inner, depth + 1) if inner is not None else "") or _line(value)
    if isinstance(value, list):
        return "; ".join(filter(None, (_text(item, depth + 1) for item in value[:3])))[:_LONGEST]
    if not isinstance(value, Mapping):
        return ""
    fields = dict(_fields(value))
    where = fields.get("loc")
    for name in _TEXTS:
        text = _text(fields.get(name), depth + 1)
        if not text or text.lower() in _FINE:
            continue
        if name == "msg" and isinstance(where, list | tuple):  # a validation error
            return f"{'.'.join(map(str, where))}: {text}"[:_LONGEST]
        below = _text(fields.get("metadata"), depth + 1)  # of the provider behind a router
        return f"{text} ({below})"[:_LONGEST] if below and below not in text else text
    for name in _AROUND:
        if text := _text(fields.get(name), depth + 1) if isinstance(fields.get(name), dict | list) else "":
            return text
    raw = fields.get("raw")
    if isinstance(raw, str) and raw.strip():
        return _text(raw, depth + 1)
    codes = [fields[name] for name in _CODES[:4] if isinstance(fields.get(name), str | int)]
    kind = fields.get("type")
    codes += [kind] if isinstance(kind, str) and "error" in kind.lower() else []
    return next((_line(str(code)) for code in codes if depth and code), "")


def _words(value: JSON, depth: int = 0) -> Iterator[str]:
    """Yield codes, types and texts of an error, but not what it repeats of the request."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        inner = _inner(value)
        if isinstance(inner, Mapping) and _text(inner):
            yield value[: value.find("{")]
            yield from _words(inner, depth + 1)
        else:
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item, depth + 1)
    elif isinstance(value, Mapping):
        for name, item in _fields(value):
            if name in _CODES or name in _TEXTS or name in _AROUND:
                yield from _words(item, depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _statuses(value: JSON, depth: int = 0) -> Iterator[int]:
    """Yield the HTTP statuses that an error names, outermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        inner = _inner(value)
        if inner is not None:
            yield from _statuses(inner, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _statuses(item, depth + 1)
    elif isinstance(value, Mapping):
        fields = dict(_fields(value))
        for name in ("code", "statuscode", "status", "errorcode", "errcode", "httpstatus", "httpcode"):
            if isinstance(fields.get(name), int | str) and _STATUS.fullmatch(str(fields[name])):
                yield int(str(fields[name]))
        for name in dict.fromkeys((*_AROUND, *_TEXTS)):
            if isinstance(fields.get(name), dict | list | str):
                yield from _statuses(fields[name], depth + 1)

"""Reads objects of texts that are almost JSON: with other quotes, full-width signs, or quotes inside values.

A value ends at the first quote that a comma and a key, or the object's end, follow. So a quote inside a value (the mark
of inches, a word in quotes) is part of it, and no text is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_GROUPS = ('"“”„‟＂〝〞〟″', "'‘’‚‛＇`´′", "«»", "‹›", "「」", "『』")
"""Quotes of one kind: a value that begins with one may end with any other of them."""
_CLOSERS = {quote: group for group in _GROUPS for quote in group}
_QUOTES = "".join(_GROUPS)
_GAP = r"(?>\s+|//[^\n]{0,200}\n|/\*[^*]{0,200}\*/)*+"
"""Space and comments. Without their bound, and with steps back, hostile text would take quadratic time."""
_OPEN, _COLON, _COMMA, _CLOSE = "[{｛]", "[:：]", "[,，;；、]", "[}｝]"
_KEY = rf"(?:[{_QUOTES}]\s{{0,9}}(?P<quoted>[\w -]{{1,40}}?)\s{{0,9}}[{_QUOTES}]|(?P<bare>\w{{1,40}}))"
_FENCE = "(?:```|~~~)"

_START = re.compile(rf"{_OPEN}{_GAP}")
_FIELD = re.compile(rf"{_KEY}{_GAP}{_COLON}{_GAP}")
_NEXT = re.compile(rf"{_GAP}{_COMMA}?{_GAP}(?=[{_QUOTES}][\w -]{{1,40}}[{_QUOTES}]{_GAP}{_COLON})")
_NEXT_BARE = re.compile(rf"{_GAP}{_COMMA}{_GAP}(?=(?:title|video_prompt|reasoning){_GAP}{_COLON})")
_END = re.compile(rf"{_GAP}{_COMMA}?{_GAP}(?:{_CLOSE}|\]|{_FENCE}|\Z)")
_OTHER = re.compile(r"-?\d[\d.eE+-]{0,40}|true|false|null|\[[^][]{0,1000}\]|\{[^{}]{0,1000}\}", re.IGNORECASE)
_FENCE_LINE = re.compile(rf"\n[ \t]{{0,20}}{_FENCE}")
_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|(?:u\{0{0,3}|U00)([0-9a-fA-F]{1,6})\}?|x([0-9a-fA-F]{2})|(u[0-9a-fA-F]{0,3}\Z)|(.))",
    re.DOTALL,
)
"""Escapes of JSON and, beside them, of Python and JavaScript, which models mix in; the last but one was cut short."""
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MAX_FIELDS = 20


def read_loose(text: str) -> dict[str, str] | None:
    """Read the object of texts at the beginning of `text`; None if there is no such object.

    Values in quotes are read, numbers and lists passed over, and with any other there is no such object. An answer that
    was cut short ends its last value.
    """
    start = _START.match(text)
    if start is None:
        return None
    place, values = start.end(), dict[str, str]()
    for _ in range(_MAX_FIELDS):
        field = _FIELD.match(text, place)
        if field is None:
            return None
        if text[field.end() : field.end() + 1] in _CLOSERS:
            value, place, ended = _value(text, field.end())
            values[field["quoted"] or field["bare"]] = value
        else:
            other = _OTHER.match(text, field.end())
            after = None if other is None else _after(text, other.end())
            if after is None:
                return None
            place, ended = after
        if ended:
            return values
    return None


def _after(text: str, end: int) -> tuple[int, bool] | None:
    """Return where the field after a value begins, and whether the object ends there; None if neither follows."""
    following = _NEXT.match(text, end) or _NEXT_BARE.match(text, end)
    if following is not None:
        return following.end(), False
    ending = _END.match(text, end)
    return None if ending is None else (ending.end(), True)


def _value(text: str, start: int) -> tuple[str, int, bool]:
    """Return the value in quotes at `start`, where the next field begins, and whether the object ends there."""
    for quote in _quotes(text, start + 1, _CLOSERS[text[start]]):
        after = _after(text, quote + 1)
        if after is not None:
            value = text[start + 1 : quote]
            tripled = len(value) > 4 and value[:2] == value[-2:] == 2 * text[start]
            return _unescaped(value[2:-2] if tripled else value), *after
    fence = _FENCE_LINE.search(text, start)
    rest = text[start + 1 : None if fence is None else fence.start()].rstrip()
    return _unescaped(rest.removesuffix("}").removesuffix("｝").rstrip()), len(text), True


def _quotes(text: str, start: int, closers: str) -> Iterator[int]:
    """Yield the places of quotes that may close a value: those without a backslash before them."""
    for match in re.compile(rf"\\.|[{closers}]", re.DOTALL).finditer(text, start):
        if match[0][0] != "\\":
            yield match.start()


def _unescaped(text: str) -> str:
    """Replace the escapes. Halves of surrogate pairs stay halves."""
    return _ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code:
        return chr(min(int(code, 16), 0x10FFFF))
    return "" if found[4] else _ESCAPED.get(found[5], found[5])

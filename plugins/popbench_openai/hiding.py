"""Removes a key from what a server says, also where it is escaped or encoded."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from popbench import JSON

SHORTEST_KEY = 8
"""Keys with fewer characters are not secret: servers without keys are often given `x`, `none` or `EMPTY`."""

SHOWN = "[key]"


class Hider:
    """Replaces one key in texts. It is known plain, with escapes of JSON, URLs and HTML, in base64 and hexadecimal."""

    def __init__(self, key: str) -> None:
        self._key = key if len(key) >= SHORTEST_KEY else ""
        self._encoded = sorted(_encoded(self._key), key=len, reverse=True) if self._key else []
        self._escaped = re.compile("".join(map(_escapes, self._key)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return a text without the key."""
        if not self._key:
            return text
        text = text.replace(self._key, SHOWN)
        if "\\" in text or "%" in text or "&#" in text:
            text = self._escaped.sub(SHOWN, text)
        for form in self._encoded:
            if form in text:
                text = re.sub(rf"[\w+/-]*{re.escape(form)}[\w+/=-]*", SHOWN, text)
        return text

    def of_json(self, value: JSON) -> JSON:
        """Return a JSON value without the key in its texts and in the names of its fields."""
        if not self._key:
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self(name): self.of_json(item) for name, item in value.items()}
        return [self.of_json(item) for item in value] if isinstance(value, list) else value


def _escapes(char: str) -> str:
    """Return a pattern of a character, plain or escaped."""
    code = ord(char)
    return (
        rf"(?:{re.escape(char)}|\\+u(?i:{code:04x})|\\+x(?i:{code:02x})|\\+u\{{0*(?i:{code:x})\}}"
        rf"|%(?:25)*(?i:{code:02x})|&#(?:0*{code}|[xX]0*(?i:{code:x}));|\\+{re.escape(char)})"
    )


def _encoded(key: str) -> Iterator[str]:
    """Yield the key in hexadecimal and in base64, of which the three alignments within a longer text."""
    given = key.encode()
    yield given.hex()
    yield given.hex().upper()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + given).decode().rstrip("=")
        inner = whole[-(-shift * 8 // 6) : (shift + len(given)) * 8 // 6]  # characters that no neighbour changes
        yield inner
        yield inner.replace("+", "-").replace("/", "_")

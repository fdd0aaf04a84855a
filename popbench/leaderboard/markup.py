"""Writes text and tables as GitHub markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from popbench.text import visible


def table(head: Sequence[str], align: str, body: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; `align` has an l or r for each column, and cells have to be escaped."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(' --: ' if side == 'r' else ' :-- ' for side in align)}|"
    for row in body:
        yield f"| {' | '.join(row)} |"


def code(text: str) -> str:
    """Return a text as code on one line; one with a backtick, which would end the code, is only escaped."""
    return escaped(text) if "`" in text else f"`{visible(' '.join(text.split()))}`"


_MARKUP = re.compile(r"[\\`*_\[\]<>|~&$#]")

_AT_START = re.compile(r"^(?:[-+=](?=[-+= ]|$)|(?P<number>\d{1,9})(?=[.)](?: |$)))")
"""What begins a list, a rule or an underlined heading where it is the first of a line."""

_ADDRESS = re.compile(r"(?i)www(?=\.)|(?:https?|ftp|mailto|xmpp)(?=:)")

_SHORTHAND = re.compile(r"@(?=\w)|\\#(?=\d)|:(?=[a-z0-9_+\\-]*[a-z][a-z0-9_+\\-]*:|[+-]1:)")
"""What GitHub finds in the finished page: people and mail addresses, issues by number, emoji by name."""


def escaped(text: str, *, links: bool = False) -> str:
    """Return a text on one line that markdown shows as it is: nothing in it is markup, HTML, an address, or an emoji.

    With `links`, addresses of the web become links, as in any text of the one who publishes.
    """
    text = _MARKUP.sub(r"\\\g<0>", visible(" ".join(text.split())))
    text = _AT_START.sub(lambda match: f"{match['number']}\\" if match["number"] else f"\\{match[0]}", text)
    if not links:
        text = _ADDRESS.sub(r"\g<0>\\", text)
        text = _SHORTHAND.sub(r"\g<0>&#8288;", text)  # a joiner is not drawn; an escape would be undone before
    return text

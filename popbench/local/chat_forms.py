"""The forms in which chat templates take messages, and what of the messages a rendered prompt lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from popbench.records import Message

Form: TypeAlias = Callable[[Sequence[Message]], list[Mapping[str, Any]]]
"""Turns messages into what a template is given."""

_PRINTED = re.compile(r"""['"]type['"]:\s*['"]text['"]""")
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\t": "\t"}
"""What JSON writes in the place of some characters."""
_CHUNK = 6
"""Words that are looked for together."""
_KEPT = 0.9
"""The least share of a message's text that a prompt has to hold: templates may replace single words."""


def plain(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
    """Return the messages as they are, with texts as contents."""
    return [dict(message) for message in messages]


def in_parts(*roles: str) -> Form:
    """Return the form in which the contents of `roles` are lists of parts, as models of text and pictures take them."""

    def form(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
        return [
            {**message, "content": [_part(message["content"])]} if message["role"] in roles else dict(message)
            for message in messages
        ]

    return form


def _part(text: str) -> Mapping[str, str]:
    """Return a part with a text, under both names that templates use for it."""
    return {"type": "text", "text": text, "content": text}


def merged(messages: Sequence[Message]) -> list[Message]:
    """Put the system messages in front of the first other message, for a template without a system role."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not system or not rest:
        return [Message(role="user", content=text) for text in system] + rest
    first = Message(role=rest[0]["role"], content="\n\n".join([*system, rest[0]["content"]]))
    return [first, *rest[1:]]


FORMS: Sequence[Form] = (
    plain,
    in_parts("system", "user", "assistant"),
    in_parts("user", "assistant"),
    in_parts("system"),
    lambda messages: plain(merged(messages)),
    lambda messages: in_parts("user", "assistant")(merged(messages)),
)
"""All forms, the one that is taken if several fit first."""

VARIABLES: Sequence[Mapping[str, Any]] = ({}, {"tools": [], "documents": []})
"""What a template is given beside the messages: nothing, or empty lists, if it fails without them."""


def _probe(role: str) -> Message:
    """Return a message as long as real ones, of words that are in no template."""
    words = [f"{role}{number}" for number in range(600)]
    lines = [" ".join(words[start : start + 10]) for start in range(0, len(words), 10)]
    return Message(role=role, content="\n".join(lines))


PROBES: Sequence[Message] = (_probe("system"), _probe("user"))


def prints_parts(prompt: str) -> bool:
    """Return whether a template has printed a list of parts as it is, in place of the text in it."""
    return _PRINTED.search(prompt) is not None


def lost(prompt: str, messages: Sequence[Message]) -> str | None:
    """Return in a few words what a rendered prompt lacks of the messages; None if it holds them.

    Case, spaces, line breaks and their escapes in JSON do not count. The end of a message has to be there, since it
    says what to answer.
    """
    held = _folded(prompt)
    if any(escape in prompt for escape in _ESCAPES):
        unescaped = prompt
        for escape, character in _ESCAPES.items():
            unescaped = unescaped.replace(escape, character)
        held += _folded(unescaped)
    for message in reversed(messages):
        words = _folded(message["content"]).split()
        chunks = [" ".join(words[start : start + _CHUNK]) for start in range(0, len(words), _CHUNK)]
        found = [chunk in held for chunk in chunks]
        if not chunks or (found[-1] and sum(found) >= _KEPT * len(found)):
            continue
        return f"leaves out the {message['role']}'s text" if not any(found) else f"cuts the {message['role']}'s text"
    return None


def _folded(text: str) -> str:
    return f" {' '.join(text.casefold().split())} "

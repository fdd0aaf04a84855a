"""From a chat's messages to the tokens a model reads, and from the tokens it writes back to text.

A template without a system role gets the system message in front of the first user message. A model without a
template gets the messages as plain text, a blank line between them, and `Answer:` at the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import popbench

THINK_OPENED = re.compile(r"<think(?:ing)?>\s*$", re.IGNORECASE)
THINK_CLOSED = re.compile(r"</think(?:ing)?>\s*$", re.IGNORECASE)
_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
_PROBE = "popbench-system-probe"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids; `thinking` where it ends inside an open `<think>`, `thought` where after a closed one."""

    tokens: list[int]
    thinking: bool = False
    thought: bool = False


class ChatFormat:
    """How one model is spoken to. `template` replaces the tokenizer's own; `variables` are handed to it."""

    def __init__(self, tokenizer: Any, template: str | None, variables: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._variables = variables
        if template is not None:
            tokenizer.chat_template = template
        self._has_template = bool(tokenizer.chat_template)
        self._has_system = self._has_template and self._takes_system()
        special = {id_: str(token) for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= {id_: tokenizer.convert_ids_to_tokens(id_) for id_ in tokenizer.all_special_ids}
        self._dropped = {id_ for id_, text in special.items() if not _THINK_TAG.fullmatch(str(text))}

    def encode(self, messages: Sequence[popbench.Message]) -> Encoded:
        """Render and tokenize messages; raises what the template raises, for instance jinja2.TemplateError."""
        if not self._has_template:
            text = "\n\n".join([*(message["content"] for message in messages), "Answer:\n"])
            return Encoded(list(self._tokenizer(text)["input_ids"]))
        text = self._render(list(messages) if self._has_system else merged(messages))
        tokens = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        return Encoded(tokens, bool(THINK_OPENED.search(text)), bool(THINK_CLOSED.search(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn new tokens into text, without special ones, save those that are tags around thoughts."""
        kept = [token for token in tokens if token not in self._dropped]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _render(self, messages: Sequence[popbench.Message]) -> str:
        rendered = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, **self._variables
        )
        return str(rendered)

    def _takes_system(self) -> bool:
        """Try the template: one that refuses a system message, or swallows it, has no such role."""
        messages = [popbench.Message(role="system", content=_PROBE), popbench.Message(role="user", content="Hello")]
        try:
            return _PROBE in self._render(messages)
        except Exception:  # templates refuse in ways of their own
            return False


def merged(messages: Sequence[popbench.Message]) -> list[popbench.Message]:
    """Put the system messages in front of the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not system or not rest:
        return [popbench.Message(role="user", content=text) for text in system] + rest
    first = popbench.Message(role=rest[0]["role"], content="\n\n".join([*system, rest[0]["content"]]))
    return [first, *rest[1:]]

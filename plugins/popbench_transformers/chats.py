"""From a chat's messages to the tokens a model reads, and from the tokens it writes back to text.

A template without a system role gets the system message in front of the first user message. A model without a
template gets the messages as plain text, a blank line between them, and `Answer:` at the end. For every template it is
the same day, because the day a run is made on is no part of its fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import popbench

THINK_OPENED = re.compile(r"<think(?:ing)?>\s*$", re.IGNORECASE)
THINK_CLOSED = re.compile(r"</think(?:ing)?>\s*$", re.IGNORECASE)
_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
_THINK_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
TODAY = datetime(2024, 7, 26)
"""The date that templates are told; Llama's templates hold it too, for where they are told none."""
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
        self._dated = _dated(tokenizer.chat_template)
        self._has_system = self._has_template and self._takes_system()
        special = {id_: str(token) for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= {id_: tokenizer.convert_ids_to_tokens(id_) for id_ in tokenizer.all_special_ids}
        self._ends = set(special) - {tokenizer.unk_token_id} | {tokenizer.eos_token_id}
        self._dropped = {id_ for id_, text in special.items() if not _THINK_TAG.fullmatch(str(text))}

    def encode(self, messages: Sequence[popbench.Message]) -> Encoded:
        """Render and tokenize messages; raises what the template raises, and ValueError where it gives no text."""
        if not self._has_template:
            text = "\n\n".join([*(message["content"] for message in messages), "Answer:\n"])
            tokens = list(self._tokenizer(text)["input_ids"])
            while tokens and tokens[-1] in self._ends:  # added by some tokenizers, and nothing follows an end
                tokens.pop()
            return Encoded(tokens)
        text = self._render(list(messages) if self._has_system else merged(messages))
        tokens = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if not tokens:
            raise ValueError("it gives no text; give a better one with chat_template=FILE")
        return Encoded(tokens, bool(THINK_OPENED.search(text)), bool(THINK_CLOSED.search(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn new tokens into text, without special ones, save those that are tags around thoughts."""
        kept = [token for token in tokens if token not in self._dropped]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _render(self, messages: Sequence[popbench.Message]) -> str:
        rendered = self._tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=True,
            **{"chat_template": self._dated, **self._variables},
        )
        return str(rendered)

    def _takes_system(self) -> bool:
        """Try the template: one that refuses a system message, or swallows it, has no such role."""
        messages = [popbench.Message(role="system", content=_PROBE), popbench.Message(role="user", content="Hello")]
        try:
            return _PROBE in self._render(messages)
        except Exception:  # templates refuse in ways of their own
            return False


def closes_thoughts(text: str) -> bool:
    """Whether a section of thoughts ends in a text."""
    return bool(_THINK_END.search(text))


def _dated(template: Any) -> str | None:
    """Return a template that asks for the date with a fixed answer to it; None for one that does not ask.

    transformers hands templates no functions of ours, so the answer is a macro in front, which hides its own.
    """
    if isinstance(template, dict):  # templates by name
        template = template.get("default")
    if not isinstance(template, str) or "strftime_now" not in template:
        return None
    known = {f"%{letter}": TODAY.strftime(f"%{letter}") for letter in "aAbBcdDeFGhHIjmMpRSTuUVwWxXyYf"}
    bare = {f"%-{code[1:]}": value.lstrip("0 ") or "0" for code, value in known.items() if value.strip().isdigit()}
    replaced = "".join(f" | replace({code!r}, {value!r})" for code, value in (known | bare | {"%%": "%"}).items())
    # the line break is dropped with the tag before it, so that the template starts at the start of a line
    return f"{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}\n{template}"


def merged(messages: Sequence[popbench.Message]) -> list[popbench.Message]:
    """Put the system messages in front of the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not system or not rest:
        return [popbench.Message(role="user", content=text) for text in system] + rest
    first = popbench.Message(role=rest[0]["role"], content="\n\n".join([*system, rest[0]["content"]]))
    return [first, *rest[1:]]

"""Encodes a chat's messages as a model's tokens, and decodes its answer to text.

For a template without a system role, the system message is put before the first user message. A model without a
template gets the messages as plain text, separated by blank lines, with `Answer:` at the end. Templates that ask for
the date get a fixed one, because the day of a run is not part of its fingerprint.
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
"""The date that templates get. Llama's templates have the same one as their default."""
_PROBE = "popbench-system-probe"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids. `thinking`: it ends inside an open `<think>`; `thought`: it ends after a closed one."""

    tokens: list[int]
    thinking: bool = False
    thought: bool = False


class ChatFormat:
    """The chat format of one model. `template` replaces the tokenizer's own; it gets `variables`."""

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
        """Render and tokenize messages; raises what the template raises, and ValueError if it gives no text."""
        if not self._has_template:
            text = "\n\n".join([*(message["content"] for message in messages), "Answer:\n"])
            tokens = list(self._tokenizer(text)["input_ids"])
            while (
                tokens and tokens[-1] in self._ends
            ):  # some tokenizers add an end token, after which the model writes nothing
                tokens.pop()
            return Encoded(tokens)
        text = self._render(list(messages) if self._has_system else merged(messages))
        tokens = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if not tokens:
            raise ValueError("it gives no text; give a better one with chat_template=FILE")
        return Encoded(tokens, bool(THINK_OPENED.search(text)), bool(THINK_CLOSED.search(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode new tokens to text. Special tokens are dropped, except the tags around thoughts."""
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
        """Return whether the template has a system role: rendered with a system message, it must contain it."""
        messages = [popbench.Message(role="system", content=_PROBE), popbench.Message(role="user", content="Hello")]
        try:
            return _PROBE in self._render(messages)
        except Exception:  # templates raise errors of any kind
            return False


def closes_thoughts(text: str) -> bool:
    """Return whether a text contains the end of a section of thoughts."""
    return bool(_THINK_END.search(text))


def _dated(template: Any) -> str | None:
    """Return a template that asks for the date with that date fixed; None for one that does not ask.

    Functions cannot be passed to a template through transformers. A macro at its start hides the original function.
    """
    if isinstance(template, dict):  # templates by name
        template = template.get("default")
    if not isinstance(template, str) or "strftime_now" not in template:
        return None
    codes = {f"%{letter}": TODAY.strftime(f"%{letter}") for letter in "aAbBcdDeFGhHIjmMpRSTuUVwWxXyYf"}
    bare = {f"%-{code[1:]}": value.lstrip("0 ") or "0" for code, value in codes.items() if value.strip().isdigit()}
    replaced = "".join(f" | replace({code!r}, {value!r})" for code, value in (codes | bare | {"%%": "%"}).items())
    # Jinja drops the line break after a tag, so the template itself still starts at the start of a line
    return f"{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}\n{template}"


def merged(messages: Sequence[popbench.Message]) -> list[popbench.Message]:
    """Put the system messages in front of the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not system or not rest:
        return [popbench.Message(role="user", content=text) for text in system] + rest
    first = popbench.Message(role=rest[0]["role"], content="\n\n".join([*system, rest[0]["content"]]))
    return [first, *rest[1:]]

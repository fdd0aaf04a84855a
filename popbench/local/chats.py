"""Encodes a chat's messages as a model's tokens, and decodes its answer to text.

Templates differ in what they take: contents as texts or as lists of parts, a system role or none. `chat_forms` has the
forms of messages; the first one that a template renders whole is taken. A model without a template gets the messages
as plain text, separated by blank lines, with `Answer:` at the end. Templates that ask for the date get a fixed one,
because the day of a run is not part of its fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from popbench.local.chat_forms import FORMS, PROBES, VARIABLES, Form, lost, plain, prints_parts
from popbench.records import Message

THINK_OPENED = re.compile(r"<think(?:ing)?>\s*$", re.IGNORECASE)
THINK_CLOSED = re.compile(r"</think(?:ing)?>\s*$", re.IGNORECASE)
_THINK_TAG = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
_THINK_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_REMEDY = "give a better one with chat_template=FILE"
TODAY = datetime(2024, 7, 26)
"""The date that templates get. Llama's templates have the same one as their default."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as token ids. `thinking`: it ends inside an open `<think>`; `thought`: it ends after a closed one."""

    tokens: list[int]
    thinking: bool = False
    thought: bool = False


class ChatFormat:
    """The chat format of one model. `template` replaces the tokenizer's own; it gets `variables`.

    `problem` says in a few words why no form of messages can be rendered; None if one can.
    """

    def __init__(self, tokenizer: Any, template: str | None, variables: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._variables = variables
        if template is not None:
            tokenizer.chat_template = template
        self._has_template = bool(tokenizer.chat_template)
        self._dated = _dated(tokenizer.chat_template)
        self._form: Form = plain
        self.problem = self._choose_form() if self._has_template else None
        special = {id_: str(token) for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= {id_: tokenizer.convert_ids_to_tokens(id_) for id_ in tokenizer.all_special_ids}
        self._ends = set(special) - {tokenizer.unk_token_id} | {tokenizer.eos_token_id}
        self._dropped = {id_ for id_, text in special.items() if not _THINK_TAG.fullmatch(str(text))}

    @property
    def template(self) -> str | None:
        """The template, with its date fixed; None where there is none, or several by name."""
        own = self._tokenizer.chat_template
        return self._dated or (own if isinstance(own, str) else None)

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Render and tokenize messages; raises what the template raises, and ValueError if it leaves text out."""
        if not self._has_template:
            text = "\n\n".join([*(message["content"] for message in messages), "Answer:\n"])
            tokens = list(self._tokenizer(text)["input_ids"])
            while (
                tokens and tokens[-1] in self._ends
            ):  # some tokenizers add an end token, after which the model writes nothing
                tokens.pop()
            return Encoded(tokens)
        if self.problem is not None:
            raise ValueError(self.problem)
        text = self._render(self._form(messages))
        left_out = lost(text, messages)
        if left_out is not None:
            raise ValueError(f"it {left_out}: {_REMEDY}")
        tokens = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        return Encoded(tokens, bool(THINK_OPENED.search(text)), bool(THINK_CLOSED.search(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode new tokens to text. Special tokens are dropped, except the tags around thoughts."""
        kept = [token for token in tokens if token not in self._dropped]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        rendered = self._tokenizer.apply_chat_template(
            list(messages),
            tokenize=False,
            add_generation_prompt=True,
            **{"chat_template": self._dated, **self._variables},
        )
        return str(rendered)

    def _choose_form(self) -> str | None:
        """Choose the first form of messages that the template renders whole; return why there is none."""
        given, lacks, raised = self._variables, "", ""
        for variables in VARIABLES:
            self._variables = {**variables, **given}
            for form in FORMS:
                try:
                    prompt = self._render(form(PROBES))
                except Exception as error:  # templates raise errors of any kind
                    raised = raised or " ".join(str(error).split())[:200] or type(error).__name__
                    continue
                left_out = lost(prompt, PROBES)
                if left_out is None and not prints_parts(prompt):
                    self._form = form
                    return None
                lacks = lacks or f"it {left_out or 'prints lists of parts'}, given as text and as parts"
        self._variables = given
        return f"{lacks or raised}: {_REMEDY}"


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

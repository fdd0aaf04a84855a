"""Makes answers follow a JSON schema: free text first if a chat asks for reasoning, then JSON that is always complete.

Each row has a `Guide`. It says which tokens may come next, starts the JSON when free text ends, and reserves enough of
the token budget to close the JSON. It depends on its own row only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

import popbench
from popbench.local import Encoded

_TAG = re.compile(rb"<(/?)think(?:ing)?>", re.IGNORECASE)
_TAG_BYTES = 16
_MAX_GROWTH = 8
"""How many tokens one sampled token can add to the shortest ending: an escape, a split character."""
_ANSWER_TOKENS = 400
"""Tokens that are reserved for the answer after reasoning: titles and video prompts rarely have more."""
_MAX_ENDING = 4096
_COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class Grammars:
    """Shared by the guides of one model: its vocabulary as bytes, and the compiled schemas."""

    def __init__(self, tokenizer: Any, eos: Sequence[int]) -> None:
        import llguidance
        import llguidance.hf

        if not eos:
            raise popbench.UsageError(
                "structured=true: the model has no end token: name one as eos_token_id in its generation_config.json, "
                "or leave structured=true out"
            )
        try:
            self.vocabulary = llguidance.hf.from_tokenizer(tokenizer, None, list(eos))
        except Exception as error:  # tokenizers of many kinds raise errors of many kinds
            what = " ".join(str(error).split()) or type(error).__name__
            raise popbench.UsageError(
                f"structured=true: the model's tokenizer cannot be followed ({what}): leave structured=true out"
            ) from None
        self.eos = frozenset(eos)
        self._matcher = llguidance.LLMatcher
        self._compiled: dict[str, Any] = {}
        size = self.vocabulary.vocab_size
        self.texts = [
            b"" if self.vocabulary.is_special_token(id_) else self.vocabulary.decode_bytes([id_]) for id_ in range(size)
        ]
        self.braces = frozenset(id_ for id_, text in enumerate(self.texts) if b"{" in text)
        single = {text: id_ for id_, text in reversed(list(enumerate(self.texts))) if len(text) == 1}
        self.single = {text.decode(): id_ for text, id_ in single.items() if text.isascii()}
        added = tokenizer.get_added_vocab()
        self.think = next((added[tag] for tag in ("<think>", "<thinking>") if tag in added), None)
        tags = {added[tag]: tag for tag in ("<think>", "</think>", "<thinking>", "</thinking>") if tag in added}
        self._tags = list(tags)
        for id_, tag in tags.items():
            self.texts[id_] = tag.encode()

    def think_end(self, tag: str = "</think>") -> list[int]:
        """Return the tokens that end a section of thoughts."""
        return list(self.vocabulary.tokenize_str(tag, parse_special=True))

    def matcher(self, schema: Mapping[str, popbench.JSON] | Any) -> Any:
        """Return a matcher at the start of a schema; raises ValueError for one that cannot be followed."""
        text = json.dumps(dict(schema))
        if text not in self._compiled:
            grammar = self._matcher.grammar_from_json_schema(text, overrides=_COMPACT)
            self._compiled[text] = self._matcher(self.vocabulary, grammar, log_level=0)
        compiled = self._compiled[text]
        if compiled.is_error():
            raise ValueError(f"the schema cannot be followed: {compiled.get_error()}")
        return compiled.deep_copy()

    def guide(self, schema: Mapping[str, Any], reasons: bool, prompt: Encoded, budget: int) -> Guide:
        """Make the guide of one row.

        Raises ValueError for a schema that cannot be followed, and for a budget that no answer fits in.
        """
        return Guide(self, self.matcher(schema), reasons, prompt, budget)

    def ending(self, matcher: Any) -> list[int]:
        """Return tokens that complete the JSON from a matcher's state; none if it is complete.

        Raises ValueError if no short ending is found.
        """
        ahead = matcher.deep_copy()
        path: list[int] = []
        while not ahead.is_accepting():
            token = self._next(ahead)
            if token is None or len(path) >= _MAX_ENDING or not ahead.consume_token(token):
                raise ValueError("the schema has no short ending: leave structured=true out")
            path.append(token)
        return path

    def _next(self, matcher: Any) -> int | None:
        """Return the next token of an ending: a forced one, else one that closes, else one plain character."""
        forced = matcher.compute_ff_tokens()
        if forced:
            return int(forced[0])
        data = matcher.compute_ff_bytes()
        if data:
            tokens = self.vocabulary.tokenize_bytes(data)
            if tokens and matcher.validate_tokens(tokens[:1]) == 1:
                return int(tokens[0])
        mask = self.mask(matcher)

        def allowed(characters: Iterable[str]) -> int | None:
            ids = (self.single.get(character) for character in characters)
            return next((id_ for id_ in ids if id_ is not None and mask[id_]), None)

        # q starts no literal and is no hexadecimal digit: if it is allowed, the matcher is inside a string
        if allowed("q") is not None:
            token = allowed('"')
            return token if token is not None else allowed("-q")
        # a comma before a digit, because a number could go on with zeros for ever
        token = allowed('}]",0')
        if token is not None:
            return token
        rest = mask.nonzero().flatten().tolist()
        rest = [id_ for id_ in rest if id_ not in self.eos]
        return min(rest, key=lambda id_: len(self.texts[id_])) if rest else None

    def mask(self, matcher: Any) -> torch.Tensor:
        """Return which tokens a matcher allows, as bool (vocabulary,)."""
        packed = torch.frombuffer(bytearray(matcher.compute_bitmask()), dtype=torch.uint8)
        bits = (packed[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        mask = bits.flatten().bool()[: len(self.texts)]
        mask[self._tags] = False  # inside a title, a tag would be read as the start of thoughts
        return mask

    def only(self, token: int) -> torch.Tensor:
        """Return a mask that allows one token."""
        mask = torch.zeros(len(self.texts), dtype=torch.bool)
        mask[token] = True
        return mask


class Guide:
    """Guides one row: call `allowed` before a token is chosen, `accept` after. `free`: the text is unconstrained."""

    def __init__(self, grammars: Grammars, matcher: Any, reasons: bool, prompt: Encoded, budget: int) -> None:
        self._grammars = grammars
        self._matcher = matcher
        self._thinking = prompt.thinking
        self.free = reasons or prompt.thinking
        self._answer_follows = not reasons
        """Whether the JSON has to start as soon as no section of thoughts is open."""
        self._may_think = not self.free and not prompt.thought and grammars.think is not None
        self.cut = False
        """Whether the token budget, not the model, ended the reasoning or the answer."""
        self._before: list[int] = []
        self._path: list[int] = []
        self._next_look = budget
        self._tail = b""
        self._end = grammars.think_end() if self.free or self._may_think else []
        shortest = len(grammars.ending(matcher))
        needed = shortest + (len(self._end) if prompt.thinking else 0)
        if needed > budget:
            raise ValueError(
                f"an answer that fits the schema takes at least {needed} tokens, and {budget} are left: "
                "allow more with max_new_tokens="
            )
        least = shortest + len(self._end) + _MAX_GROWTH
        self._kept = max(least, min(_ANSWER_TOKENS, budget // 2))

    def allowed(self, left: int) -> torch.Tensor | None:
        """Return which tokens may come next, bool (vocabulary,), or None for all. `left` includes the next token."""
        if self.free:
            if left > self._kept:
                return None
            self.cut = True
            self.begin()
        if self._before:
            return self._grammars.only(self._before[0])
        if not self._path and left <= self._next_look:
            ending = self._grammars.ending(self._matcher)
            spare = left - len(ending) - _MAX_GROWTH
            if spare <= 0:
                if not ending and self._grammars.eos:  # complete, but could go on
                    return self._grammars.only(min(self._grammars.eos))
                self._path = ending
                self.cut = True
            # Invariant: the shortest ending always fits into what is left. A free token takes one of those left and
            # adds at most _MAX_GROWTH to the ending, so `spare` falls by at most _MAX_GROWTH + 1 a token, and that many
            # tokens may pass before the ending has to be computed again.
            self._next_look = left - max(1, spare // (_MAX_GROWTH + 1))
        if self._path:
            return self._grammars.only(self._path[0])
        mask = self._grammars.mask(self._matcher)
        if self._may_think and self._grammars.think is not None and left > self._kept:
            mask[self._grammars.think] = True
        return mask

    def interrupts(self, token: int) -> bool:
        """Return whether a token of free text starts the JSON: an end token, or an opening brace."""
        return self.free and (
            token in self._grammars.eos or (not self._thinking and token in self._grammars.braces)
        )  # fmt: skip

    def begin(self) -> None:
        """End the free text: close an open section of thoughts, then start the JSON."""
        self._before = list(self._end) if self._thinking else []
        self.free = self._thinking = False

    def accept(self, token: int) -> bool:
        """Take a chosen token; return whether the answer is complete."""

        if self._before:
            self._before.pop(0)
            return False
        if self._may_think:
            self._may_think = False
            if token == self._grammars.think:
                self.free = True
        if self.free:
            self._follow(token)
            return False
        if self._path:
            self._path.pop(0)
        if not self._matcher.consume_token(token):
            raise ValueError(f"token {token} does not fit the schema: {self._matcher.get_error()}")
        return bool(self._matcher.is_stopped())

    def _follow(self, token: int) -> None:
        text = self._grammars.texts[token] if token < len(self._grammars.texts) else b""
        before = self._tail
        tags = list(_TAG.finditer(before + text))
        if tags:
            self._thinking = not tags[-1][1]
            self._tail = (before + text)[tags[-1].end() :]
            if self._answer_follows and not self._thinking:
                self.free = False
        else:
            self._tail = (before + text)[-_TAG_BYTES:]

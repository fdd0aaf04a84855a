"""Reads a model's tokenizer, chat template and context length, without its weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.local import quiet
from popbench_transformers.chats import ChatFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import popbench
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns messages into tokens. `context` is the most tokens of prompt and answer together."""

    tokenizer: Any
    format: ChatFormat
    context: int

    def fits(self, messages: Sequence[popbench.Message], max_new_tokens: int) -> bool:
        """Return whether messages leave room for `max_new_tokens`, or for a quarter of the context if that is less.

        Raises what the chat template raises.
        """
        with quiet("transformers"):  # it warns of texts longer than the context
            length = len(self.format.encode(messages).tokens)
        return length + min(max_new_tokens, self.context // 4) <= self.context


def source_of(options: TransformersOptions, weights: Weights) -> tuple[str, dict[str, Any]]:
    """Return the arguments of `from_pretrained` that load exactly the files of the fingerprint."""
    source_options: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if weights.folder is not None:
        return str(weights.folder), source_options
    return options.model, {**source_options, "revision": weights.commit or options.revision}


def read(options: TransformersOptions, weights: Weights) -> Reader:
    """Load a model's tokenizer and configuration, in seconds; raises what transformers raises."""
    import transformers as _transformers

    transformers: Any = _transformers  # much of it is untyped
    source, source_options = source_of(options, weights)
    with quiet("transformers"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **source_options)
        config = transformers.AutoConfig.from_pretrained(source, **source_options)
    template = None
    if options.chat_template is not None:
        template = Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return Reader(
        tokenizer,
        ChatFormat(tokenizer, template, options.chat_template_kwargs),
        int(context) if context else sys.maxsize,
    )

"""What a model reads, found without its weights: its tokenizer, its chat template, and the length of its context."""

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
    """How messages become tokens. `context` is how many tokens the model reads and writes at most."""

    tokenizer: Any
    format: ChatFormat
    context: int

    def fits(self, messages: Sequence[popbench.Message], max_new_tokens: int) -> bool:
        """Whether messages leave room for an answer: `max_new_tokens`, or a quarter of a context smaller than that.

        Raises what the chat template raises.
        """
        with quiet("transformers"):  # which warns of texts longer than the context
            length = len(self.format.encode(messages).tokens)
        return length + min(max_new_tokens, self.context // 4) <= self.context


def source_of(options: TransformersOptions, weights: Weights) -> tuple[str, dict[str, Any]]:
    """Return what `from_pretrained` is given for exactly the files that the fingerprint is of."""
    where: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if weights.folder is not None:
        return str(weights.folder), where
    return options.model, {**where, "revision": weights.commit or options.revision}


def read(options: TransformersOptions, weights: Weights) -> Reader:
    """Load a model's tokenizer and configuration, which takes seconds; raises what transformers raises."""
    import transformers as _transformers

    transformers: Any = _transformers  # much of it is untyped
    source, where = source_of(options, weights)
    with quiet("transformers"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **where)
        config = transformers.AutoConfig.from_pretrained(source, **where)
    template = None
    if options.chat_template is not None:
        template = Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return Reader(
        tokenizer,
        ChatFormat(tokenizer, template, options.chat_template_kwargs),
        int(context) if context else sys.maxsize,
    )

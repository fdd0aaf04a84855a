"""Reads a model's tokenizer, chat template and context length, without its weights and without vLLM."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popbench.local import ChatFormat, context_of, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    import popbench
    from popbench.local import Weights
    from popbench_vllm.options import EngineOptions


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns messages into tokens. `context` is the most tokens of prompt and answer together."""

    format: ChatFormat
    context: int

    def fits(self, messages: Sequence[popbench.Message], max_tokens: int) -> bool:
        """Return whether messages leave room for `max_tokens`, or for a quarter of the context if that is less.

        Raises what the chat template raises.
        """
        with quiet("transformers"):  # it warns of texts longer than the context
            length = len(self.format.encode(messages).tokens)
        return length + min(max_tokens, self.context // 4) <= self.context


def source_of(options: EngineOptions, weights: Weights) -> tuple[str, str | None]:
    """Return the folder or the hub id that is loaded, and the revision of the latter: exactly what is identified."""
    if weights.folder is not None:
        return str(weights.folder), None
    return options.model, weights.commit or options.revision


def read(options: EngineOptions, weights: Weights) -> Reader:
    """Load a model's tokenizer and configuration, in seconds; raises what transformers raises."""
    import transformers as _transformers

    transformers: Any = _transformers  # much of it is untyped
    source, revision = source_of(options, weights)
    given: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if revision is not None:
        given["revision"] = revision
    with quiet("transformers"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **given)
        config = transformers.AutoConfig.from_pretrained(source, **given)
    template = None
    if options.chat_template is not None:
        template = Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    context = context_of(config, tokenizer.model_max_length) or sys.maxsize
    return Reader(
        ChatFormat(tokenizer, template, options.chat_template_kwargs),
        min(context, options.max_model_len or sys.maxsize),
    )

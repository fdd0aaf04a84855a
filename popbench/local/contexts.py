"""Reads the length of a model's context from its configuration, with the scaling of its rotary embeddings.

`max_position_embeddings` is the length of pretraining in some configurations and the length after scaling in others.
Which one is known by the kind of scaling, and by `original_max_position_embeddings`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "n_ctx")
"""Names under which configurations hold the length, in the order in which they are looked for."""
_SCALED_ALREADY = ("llama3", "longrope", "su")
"""Kinds of scaling whose models are trained at the scaled length and state that one."""
_STRETCHED = ("yarn", "linear", "dynamic", "ntk")
"""Parts of the names of kinds of scaling that reach `factor` times the length of pretraining."""
_ENDLESS = 10**9
"""A tokenizer without a limit says a length of more than this."""


def context_of(config: Any, tokenizer_limit: int | None = None) -> int | None:
    """Return the most tokens of prompt and answer together by a model's configuration; None if it says nothing.

    `tokenizer_limit` is the tokenizer's `model_max_length`. It decides where the configuration leaves open whether the
    stated length is scaled already. A sliding window is no limit: layers with one pass on what came before it.
    """
    text = config.get_text_config()
    stated = next(filter(None, (_length(getattr(text, name, None)) for name in _NAMES)), None)
    own = _length(getattr(text, "model_max_length", None))
    if stated is None:
        return own
    reached = [_reached(rope, text, stated, tokenizer_limit) for rope in _ropes(text)]
    return max(min(reached, default=stated), own or 0)


def _ropes(text: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the parameters of rotary embeddings: one set, or one for each type of layer."""
    found = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None)
    if not isinstance(found, Mapping):
        return
    nested = [value for value in found.values() if isinstance(value, Mapping)]
    yield from nested or [found]


def _reached(rope: Mapping[str, Any], text: Any, stated: int, tokenizer_limit: int | None) -> int:
    """Return the length that layers with these parameters reach."""
    kind = str(rope.get("rope_type") or rope.get("type") or "").lower()
    scaled = kind in _SCALED_ALREADY
    if not scaled and not any(part in kind for part in _STRETCHED):
        return stated
    factor = rope.get("factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not math.isfinite(factor) or factor <= 1:
        return stated
    original = _length(rope.get("original_max_position_embeddings")) or _length(
        getattr(text, "original_max_position_embeddings", None)
    )
    if scaled and original is not None and stated > original:
        return stated
    if original is not None:
        return max(stated, int(original * factor))
    reached = int(stated * factor)
    limit = _length(tokenizer_limit)
    return max(stated, min(reached, limit)) if limit is not None and limit < _ENDLESS else reached


def _length(value: Any) -> int | None:
    """Return a number of tokens; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

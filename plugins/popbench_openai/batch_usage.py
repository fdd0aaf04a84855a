"""What batches take, in kinds of usage of their own, so that a run may have both prices."""

from __future__ import annotations

from collections.abc import Mapping

INPUT, OUTPUT = "batch_input", "batch_output"
"""The tokens of batches: parts of `input` and `output`."""


def in_batch(usage: Mapping[str, float]) -> dict[str, float]:
    """Add to a usage that its tokens are a batch's."""
    return {**usage, INPUT: usage.get("input", 0), OUTPUT: usage.get("output", 0)}


def cost(usage: Mapping[str, float], price_in: float, price_out: float, share: float) -> float:
    """Return the USD of a usage by prices per million tokens, of which those of batches cost a `share`."""
    off = 1 - share
    read = usage["input"] - off * usage.get(INPUT, 0)
    written = usage["output"] - off * usage.get(OUTPUT, 0)
    return (read * price_in + written * price_out) / 1e6

"""How much memory a model will take, estimated before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from popbench_transformers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions

_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
_QUANTIZED = {"4bit": 0.5 + 4 / 64, "8bit": 1.0}
"""Bytes per weight of a linear layer: nf4 has a float32 scale for every 64 weights."""
_WORKING = 1.05
"""What comes on top of the weights: the cache and activations of one chat."""


def estimate(options: TransformersOptions, weights: Weights, quantization: str | None = None) -> float | None:
    """Estimate the bytes that a model takes to run, or None where nothing is known of its size.

    `quantization` asks for another than the options'.
    """
    config = weights.index
    stored = weights.stored_bytes
    if stored is not None and "quantization_config" in config:
        return stored * _WORKING
    own = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    preset = preset_of(options.model)
    if stored is not None:
        parameters = stored / _SIZES.get(own, 2)
    elif preset is not None:
        parameters, own = preset.parameters, "bfloat16"
    else:
        return None
    dtype = own if options.dtype == "auto" else options.dtype
    plain = _SIZES.get(dtype, 2)
    quantization = quantization or options.quantization
    if quantization == "none":
        return parameters * plain * _WORKING
    embeddings = min(parameters, _embeddings(config))
    size = _SIZES.get(options.dtype, 2)  # what is not quantized is in the computing type
    return ((parameters - embeddings) * _QUANTIZED[quantization] + embeddings * size) * _WORKING


def _embeddings(config: dict[str, Any]) -> float:
    """Count the weights that quantization leaves alone: the token embeddings and the output layer."""
    vocabulary, hidden = config.get("vocab_size") or 150_000, config.get("hidden_size") or 8192
    return float(vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2))

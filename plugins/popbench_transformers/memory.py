"""Estimates the memory of a model before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from popbench_transformers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
_QUANTIZED = {"4bit": 0.5 + 4 / 64, "8bit": 1.0}
"""Bytes per weight of a linear layer: nf4 has a float32 scale for every 64 weights."""
_OVERHEAD = 1.05
"""A factor on the weights' memory, for the cache and activations of one chat."""


def estimate(options: TransformersOptions, weights: Weights, quantization: str | None = None) -> float | None:
    """Estimate the bytes that a running model takes; None if its size is unknown.

    `quantization` replaces that of the options.
    """
    config = weights.index
    stored = weights.stored_bytes
    if stored is not None and "quantization_config" in config:
        return stored * _OVERHEAD
    own = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    preset = preset_of(options.model)
    if stored is not None:
        parameters = config.get("gguf_parameters") or stored / _BYTES.get(own, 2)
    elif preset is not None:
        parameters, own = preset.parameters, "bfloat16"
    else:
        return None
    return memory_of(options, config, parameters, own, quantization)


def memory_of(
    options: TransformersOptions,
    config: dict[str, Any],
    parameters: float,
    stored: str,
    quantization: str | None = None,
) -> float:
    """Estimate the bytes that a running model of so many weights takes; `stored` is the type they are stored in."""
    dtype = stored if options.dtype == "auto" else options.dtype
    plain = _BYTES.get(dtype, 2)
    quantization = quantization or options.quantization
    if quantization == "none":
        return parameters * plain * _OVERHEAD
    embeddings = min(parameters, _embeddings(config))
    size = _BYTES.get(options.dtype, 2)  # weights that are not quantized have the computing type
    return ((parameters - embeddings) * _QUANTIZED[quantization] + embeddings * size) * _OVERHEAD


def _embeddings(config: dict[str, Any]) -> float:
    """Return the number of weights that are never quantized: the token embeddings and the output layer."""
    vocabulary, hidden = config.get("vocab_size") or 150_000, config.get("hidden_size") or 8192
    return float(vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2))

"""Estimates the memory of a pipeline before it is loaded, and finds options that make it fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.local import GIB, gpu_memory
from popbench_diffusers.folders import component_weights, components
from popbench_diffusers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_QUANTIZED = {"4bit": 0.5 + 4 / 64, "8bit": 1.0, "fp8": 1.0}
"""Bytes per weight of a linear layer: nf4 has a float32 scale for every 64 weights."""
_OVERHEAD, _PER_PIXEL = 3.3 * GIB, 175.0
"""Bytes beside the weights, and per pixel of a clip, fitted to the peaks in the paper's Table 9 (within 1 GiB)."""
_USUAL_PIXELS = 832 * 480 * 81
"""Pixels of a clip if its size is unknown."""
_GROUP_BYTES = 2 * GIB
"""Bytes of weights that stay on the GPU with offload=group, about; with offload=sequential it is less."""
OFFLOADS = ("model", "group", "sequential")
"""Ways to offload, from fast to slow."""


def parameters(weights: Weights, variant: str | None) -> Mapping[str, float]:
    """Count each component's weights, from the headers of its files or from the preset; empty if unknown."""
    if weights.folder is not None:
        counts = {
            name: float(sum(_count(file) for file in component_weights(weights.folder / name, variant)))
            for name in components(weights.folder)
        }
        return {name: count for name, count in counts.items() if count}
    preset = preset_of(weights.model)
    return {} if preset is None else preset.parameters


def _count(file: Path) -> int:
    """Count the weights in a file: from the header of safetensors, from the size of another file."""
    import safetensors

    if file.suffix != ".safetensors":
        return file.stat().st_size // 2 if file.is_file() else 0
    try:
        with safetensors.safe_open(file, "numpy") as tensors:
            names = tensors.keys()  # safe_open gives no mapping that can be iterated
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    except (OSError, safetensors.SafetensorError):  # `check` reports what is wrong with it
        return 0


def sizes(options: DiffusersOptions, counts: Mapping[str, float]) -> dict[str, float]:
    """Return the bytes of each component's weights under these options."""
    bytes_by_name = {}
    for name, count in counts.items():
        each = _BYTES[options.component_dtypes.get(name, options.dtype)]
        if name in options.layerwise_casting:
            each = 1.0
        if options.quantization != "none" and name in options.quantize:
            each = _QUANTIZED[options.quantization]
        bytes_by_name[name] = count * each
    return bytes_by_name


def working(options: DiffusersOptions) -> float:
    """Estimate the bytes that rendering takes beside the weights."""
    given = (options.width, options.height, options.num_frames)
    pixels = _USUAL_PIXELS if None in given else math.prod(side or 1 for side in given)
    return _OVERHEAD + _PER_PIXEL * pixels * options.batch_size


def gpu_room(device: str) -> float:
    """Return the memory, in bytes, of the GPU that a pipeline runs on."""
    return gpu_memory(device if ":" in device else "cuda:0")


def estimate(
    options: DiffusersOptions, weights: Weights, offload: str | None = None, room: float = math.inf
) -> float | None:
    """Estimate the peak of GPU memory in bytes, within some GiB; None if the model's size is unknown.

    `offload` replaces that of the options. If `room` is short, text encoders stay outside the GPU while the denoiser
    runs.
    """
    counts = parameters(weights, options.variant)
    return peak_of(options, counts, offload, room) if counts else None


def peak_of(
    options: DiffusersOptions, counts: Mapping[str, float], offload: str | None = None, room: float = math.inf
) -> float:
    """Estimate the peak of GPU memory as `estimate` does, from the number of weights of each component."""
    parts = sizes(options, counts)
    texts = [size for name, size in parts.items() if name.startswith("text_encoder")]
    others = [size for name, size in parts.items() if not name.startswith("text_encoder")]
    way = offload or options.offload
    if way == "none":
        whole = sum(parts.values()) + working(options)
        return whole if whole <= room else max(sum(parts.values()) + GIB, sum(others) + working(options))
    if way == "model":  # one component at a time; only denoiser and decoder need memory beside their weights
        return max(max(texts, default=0.0) + GIB, max(others, default=0.0) + working(options))
    return min(_GROUP_BYTES, sum(parts.values())) + working(options)


def advice(options: DiffusersOptions, weights: Weights, room: float) -> list[str]:
    """Return options that make a model fit into `room` bytes of GPU memory, of each kind the one that costs least."""
    quantized = [
        options.model_copy(update={"quantization": way}) for way in ("8bit", "4bit") if options.quantization == "none"
    ]
    later = OFFLOADS[OFFLOADS.index(options.offload) + 1 :] if options.offload in OFFLOADS else OFFLOADS
    if options.cache is not None:
        later = tuple(way for way in later if way != "group")
    alternatives = (
        [(f"offload={way}", estimate(options, weights, way)) for way in later],
        [(f"quantization={one.quantization}", estimate(one, weights, room=room)) for one in quantized],
    )
    ways = []
    for kind in alternatives:
        fitting = next(((name, size) for name, size in kind if size is not None and size <= room), None)
        if fitting is not None:
            ways.append(f"{fitting[0]} needs about {fitting[1] / GIB:.1f}")
    if not ways and quantized:
        size = estimate(quantized[-1], weights, "model")
        if size is not None and size <= room:
            ways.append(f"quantization=4bit,offload=model needs about {size / GIB:.1f}")
    return ways

"""How much memory a pipeline will take, estimated before it is loaded, and what would make it fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.local import GIB
from popbench_diffusers.folders import component_weights, components
from popbench_diffusers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_QUANTIZED = {"4bit": 0.5 + 4 / 64, "8bit": 1.0, "fp8": 1.0}
"""Bytes per weight of a linear layer: nf4 has a float32 scale for every 64 weights."""
_PER_PIXEL = 250.0
"""Bytes of working memory per pixel of a clip: what the paper's Table 9 leaves beside the weights is 200 to 450."""
_GROUPS = 2 * GIB
"""What offloading in groups keeps on the GPU of the weights, about; one after the other it is less."""
OFFLOADS = ("model", "group", "sequential")
"""Ways to offload, the faster ones first."""


def parameters(weights: Weights, variant: str | None) -> Mapping[str, float]:
    """Count the weights of each component, from the headers of its files or from the preset; empty where unknown."""
    if weights.folder is not None:
        counts = {
            name: float(sum(_count(file) for file in component_weights(weights.folder / name, variant)))
            for name in components(weights.folder)
        }
        return {name: count for name, count in counts.items() if count}
    preset = preset_of(weights.model)
    return {} if preset is None else preset.parameters


def _count(file: Path) -> int:
    """Count the weights in a safetensors file from its header; those of another file from its size."""
    import math

    import safetensors

    if file.suffix != ".safetensors":
        return file.stat().st_size // 2 if file.is_file() else 0
    try:
        with safetensors.safe_open(file, "numpy") as found:
            return sum(math.prod(found.get_slice(name).get_shape()) for name in found.keys())  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):  # `check` has told what is wrong with it
        return 0


def sizes(options: DiffusersOptions, counts: Mapping[str, float]) -> dict[str, float]:
    """Return the bytes each component takes under these options."""
    found = {}
    for name, count in counts.items():
        each = _BYTES[options.component_dtypes.get(name, options.dtype)]
        if name in options.layerwise_casting:
            each = 1.0
        if options.quantization != "none" and name in options.quantize:
            each = _QUANTIZED[options.quantization]
        found[name] = count * each
    return found


def working(options: DiffusersOptions) -> float:
    """Estimate the bytes that rendering takes on top of the weights."""
    preset = preset_of(options.model)
    base = _pixels(preset.options) if preset is not None else 0.0
    given = {name: getattr(options, name) for name in ("width", "height", "num_frames")}
    pixels = _pixels({**(dict(preset.options) if preset else {}), **{k: v for k, v in given.items() if v}})
    if preset is not None and base and pixels:
        return preset.working_gib * GIB * options.batch_size * pixels / base
    return _PER_PIXEL * (pixels or 832 * 480 * 81.0) * options.batch_size


def _pixels(settings: Mapping[str, object]) -> float:
    found = 1.0
    for name in ("width", "height", "num_frames"):
        value = settings.get(name)
        if not isinstance(value, int):
            return 0.0
        found *= value
    return found


def estimate(options: DiffusersOptions, weights: Weights, offload: str | None = None) -> float | None:
    """Estimate the bytes of GPU memory at the peak, or None where nothing is known of the model's size.

    `offload` asks for another way than the options'. Within a few GiB; what a clip takes is recorded with it.
    """
    counts = parameters(weights, options.variant)
    if not counts:
        return None
    parts = sizes(options, counts)
    way = offload or options.offload
    texts = [size for name, size in parts.items() if name.startswith("text_encoder")]
    others = [size for name, size in parts.items() if not name.startswith("text_encoder")]
    if way == "none":  # where memory is short, text encoders wait outside while the denoiser runs
        return max(sum(parts.values()) + GIB, sum(others) + working(options))
    if way == "model":  # one component at a time, and only the denoiser and the decoder need room to work
        return max(max(texts, default=0.0) + GIB, max(others, default=0.0) + working(options))
    return min(_GROUPS, sum(parts.values())) + working(options)


def advice(options: DiffusersOptions, weights: Weights, total: float) -> str:
    """Name the options that make a model fit into `total` bytes of GPU memory, the least costly first."""
    ways = OFFLOADS[OFFLOADS.index(options.offload) + 1 :] if options.offload in OFFLOADS else OFFLOADS
    found = []
    tiled = options if options.vae_tiling else options.model_copy(update={"vae_tiling": True})
    for way in ways:
        size = estimate(tiled, weights, way)
        if size is not None and size <= total:
            found.append(f"offload={way} needs about {size / GIB:.0f}")
            break
    if options.quantization == "none":
        for quantization in ("8bit", "4bit"):
            size = estimate(tiled.model_copy(update={"quantization": quantization}), weights)
            if size is not None and size <= total:
                found.append(f"quantization={quantization} about {size / GIB:.0f}")
                break
    if not options.vae_tiling:
        found.append("vae_tiling=true less at the end of a clip")
    return ", ".join(found) or "take a smaller num_frames=, width= and height=, a smaller model, or more memory"

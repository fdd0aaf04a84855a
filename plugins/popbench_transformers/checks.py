"""Checks whether a model can run on this machine. Each problem is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.local import GIB, device_problem, gpu_count, gpu_memory, machine_memory
from popbench_transformers.gguf_files import file_of
from popbench_transformers.memory import estimate

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_transformers.options import TransformersOptions

_SLOW_BYTES = 16 * GIB
"""Quantized models larger than this are refused on a CPU, because a run would take too long."""


def problems(options: TransformersOptions, weights: Weights) -> Iterator[str]:
    """Yield problems, in a few seconds at most, also without a network."""
    if weights.problem is not None:
        yield weights.problem
    yield from _packages(options, weights)
    yield from _template(options)
    if weights.folder is not None:
        yield from _quantization(options, weights)
    if find_spec("torch") is not None:
        yield from _hardware(options, weights)


def _packages(options: TransformersOptions, weights: Weights) -> Iterator[str]:
    needed = {"torch": "every model", "transformers": "every model"}
    if file_of(options.model, options.gguf_file) is not None:
        needed |= {"gguf": "a GGUF file", "accelerate": "a GGUF file"}
    stored = weights.index.get("quantization_config") or {}
    if options.quantization != "none" or stored.get("quant_method") == "bitsandbytes":
        needed |= {"bitsandbytes": "a quantized model", "accelerate": "a quantized model"}
    if find_spec("torch") is not None and gpu_count(options.device):
        needed["accelerate"] = "loading onto a GPU"
    if options.structured:
        needed["llguidance"] = "structured=true"
    for package, purpose in needed.items():
        if find_spec(package) is None:
            yield f"{package} is not installed, and {purpose} needs it: pip install {package}"


def _template(options: TransformersOptions) -> Iterator[str]:
    if options.chat_template is None:
        return
    try:
        Path(options.chat_template).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        yield f"chat_template {options.chat_template}: {why}; give a Jinja file"


def _quantization(options: TransformersOptions, weights: Weights) -> Iterator[str]:
    """Yield a problem if the weights are quantized already and the options ask for a quantization."""
    if options.quantization != "none" and file_of(options.model, options.gguf_file) is not None:
        yield (
            f"model {options.model}: quantization={options.quantization} is not possible with a GGUF file: leave the "
            "option out (dtype=bfloat16 halves the memory), or give a model of another format"
        )
    stored = weights.index.get("quantization_config")
    if not isinstance(stored, dict) or options.quantization == "none":
        return
    bits = "4bit" if stored.get("load_in_4bit") else "8bit" if stored.get("load_in_8bit") else None
    if bits != options.quantization:
        what = bits or stored.get("quant_method", "another way")
        yield (
            f"model {options.model}: its weights are quantized already ({what}), which quantization="
            f"{options.quantization} cannot change: leave the option out"
        )


def _hardware(options: TransformersOptions, weights: Weights) -> Iterator[str]:
    wrong = device_problem(options.device)
    if wrong is not None:
        yield wrong
        return
    gpus = gpu_count(options.device)
    size = estimate(options, weights)
    quantized = options.quantization != "none" or "quantization_config" in weights.index
    if size is None or options.device == "mps":
        return
    if gpus:
        total = gpu_memory(options.device)
        if size > total:
            has = "the GPU has" if gpus == 1 else f"the {gpus} GPUs have"
            yield (
                f"model {options.model} needs about {size / GIB:.0f} GiB of GPU memory and {has} "
                f"{total / GIB:.0f}: {_advice(options, weights, total)}"
            )
    elif quantized and size > _SLOW_BYTES:
        yield (
            f"model {options.model}: a quantized model of {size / GIB:.0f} GiB needs a CUDA GPU of that size, and "
            "there is none here: run it on one, or take a smaller model"
        )
    elif size > machine_memory():
        yield (
            f"model {options.model} needs about {size / GIB:.0f} GiB of memory and this machine has "
            f"{machine_memory() / GIB:.0f}: {_advice(options, weights, machine_memory())}"
        )


def _advice(options: TransformersOptions, weights: Weights, total: float) -> str:
    """Return advice on making a model fit: an option, or a smaller model."""
    if "quantization_config" not in weights.index:
        for quantization in ("8bit", "4bit"):
            size = estimate(options, weights, quantization)
            if size is not None and size <= total and quantization != options.quantization:
                return f"quantization={quantization} needs about {size / GIB:.0f}"
    return "take a smaller model, or more memory"

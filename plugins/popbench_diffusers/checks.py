"""What stands in the way of rendering here: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from popbench.local import GIB, device_problem, free_memory, gpu_count, gpu_memory, machine_memory
from popbench_diffusers.calls import arguments, attention_backends, settings, video_problem
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.folders import components, pipeline_name
from popbench_diffusers.memory import advice, estimate, parameters
from popbench_diffusers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

_SLOW = 8 * GIB
"""A pipeline larger than this takes hours for a clip on a processor."""
_FP8 = (8, 9)
"""The compute capability from which a GPU multiplies in 8-bit floats."""


def problems(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Yield what is missing; a few seconds at most, also without a network."""
    if weights.problem is not None:
        yield weights.problem
    else:
        yield from _pipeline(options, weights)
    missing = list(_packages(options))
    yield from missing
    if find_spec("torch") is not None and not missing:
        yield from _hardware(options, weights)


def _packages(options: DiffusersOptions) -> Iterator[str]:
    needed = {"torch": "every pipeline", "diffusers": "every pipeline", "transformers": "every pipeline"}
    if options.quantization in ("4bit", "8bit"):
        needed["bitsandbytes"] = f"quantization={options.quantization}"
    if options.quantization == "fp8":
        needed["torchao"] = "quantization=fp8"
    if options.offload != "none":
        needed["accelerate"] = f"offload={options.offload}"
    for package, what in needed.items():
        if find_spec(package) is None:
            yield f"{package} is not installed, and {what} needs it: pip install {package}"


def _pipeline(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Compare the options with the pipeline they are for, as far as that is on this machine."""
    name = pipeline_name(options.model, options.revision)
    if name is None:
        return
    if name not in FAMILIES:
        found = video_problem(name)
        if found is not None:
            yield f"model {options.model}: {found}"
            return
        given = [key for key in ("width", "height", "num_frames", "num_inference_steps", "negative_prompt")
                 if getattr(options, key) is not None and key not in arguments(name)]  # fmt: skip
        if given:
            yield f"{given[0]}: {name} takes no such argument (it takes {', '.join(arguments(name))})"
    if options.clip_fps is None:
        yield f"model {options.model}: it does not say how fast its clips play: give fps=FRAMES_A_SECOND"
    if options.attention is not None:
        backends = attention_backends()
        if options.attention not in backends:
            yield f"attention={options.attention}: diffusers has no such backend (it has {', '.join(backends)})"
    if weights.folder is None:
        return
    preset = preset_of(options.model)
    if options.scheduler and (preset is None or options.scheduler != preset.options.get("scheduler")):
        yield from _scheduler(options, weights)
    parts = components(weights.folder)
    for option in ("component_dtypes", "layerwise_casting", *(["quantize"] if options.quantization != "none" else [])):
        wrong = [part for part in getattr(options, option) if part not in parts]
        if wrong:
            yield f"{option}: {options.model} has no component {wrong[0]!r} (it has {', '.join(parts)})"


def _scheduler(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    name = (weights.index.get("scheduler") or ["", ""])[1]
    known = settings(name)
    wrong = [key for key in options.scheduler if key not in known]
    if known and wrong:
        yield f"scheduler: {name} has no setting {wrong[0]!r} (it has {', '.join(known)})"


def _hardware(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    wrong = device_problem(options.device)
    if wrong is not None:
        yield wrong
        return
    size = estimate(options, weights)
    if gpu_count(options.device):
        total = gpu_memory(options.device if ":" in options.device else "cuda:0")
        if size is not None and size > total:
            yield (
                f"model {options.model} needs about {size / GIB:.0f} GiB of GPU memory and the GPU has "
                f"{total / GIB:.0f}: {advice(options, weights, total)}"
            )
        yield from _kept(options, weights)
        yield from _capability(options)
    else:
        if options.quantization in ("4bit", "8bit"):
            yield (
                f"quantization={options.quantization} needs a CUDA GPU, and there is none here: run it on one, or use "
                "quantization=none"
            )
        elif options.device != "mps":
            yield from _processor(options, weights, size)
    if options.compile and not find_spec("triton") and gpu_count(options.device):
        yield "compile=true needs triton on a GPU: pip install triton, or leave the option out"


def _processor(options: DiffusersOptions, weights: Weights, size: float | None) -> Iterator[str]:
    counts = parameters(weights, options.variant)
    if size is None or sum(counts.values()) < 1e9:
        return
    if size > machine_memory():
        yield (
            f"model {options.model} needs about {size / GIB:.0f} GiB of memory and this machine has "
            f"{machine_memory() / GIB:.0f}: take a smaller model, or a machine with a CUDA GPU"
        )
    elif size > _SLOW and options.device != "cpu":
        yield (
            f"model {options.model} needs a CUDA GPU with about {size / GIB:.0f} GiB, and there is none here: run it "
            "on one (device=cpu runs it here all the same, at hours a clip)"
        )


def _kept(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Offloaded weights have to fit into the machine's own memory."""
    if options.offload == "none":
        return
    whole = estimate(options.model_copy(update={"batch_size": 1}), weights, "none")
    if whole is not None and whole > free_memory():
        yield (
            f"model {options.model}: offload={options.offload} keeps about {whole / GIB:.0f} GiB in the machine's "
            f"memory, of which {free_memory() / GIB:.0f} GiB are free: use more memory, or quantization=4bit"
        )


def _capability(options: DiffusersOptions) -> Iterator[str]:
    import torch

    if options.quantization != "fp8":
        return
    found = torch.cuda.get_device_capability(options.device if ":" in options.device else "cuda:0")
    if found < _FP8:
        yield (
            f"quantization=fp8 needs a GPU of compute capability 8.9 or later (this one has {found[0]}.{found[1]}): "
            "use quantization=8bit"
        )

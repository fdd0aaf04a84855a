"""Checks whether a pipeline can render on this machine. Each problem is one line that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.local import GIB, device_problem, free_memory, gpu_count, machine_memory, read_json
from popbench_diffusers.calls import (
    arguments,
    attention_backends,
    attention_problem,
    scheduler_problem,
    settings,
    video_problem,
)
from popbench_diffusers.families import FAMILIES
from popbench_diffusers.folders import component_weights, components, pipeline_name
from popbench_diffusers.memory import advice, estimate, gpu_room, parameters, sizes
from popbench_diffusers.presets import preset_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

_SLOW_BYTES = 8 * GIB
"""Pipelines larger than this are refused on a CPU, because a clip would take hours."""


def problems(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Yield problems, in a few seconds at most, also without a network."""
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
    for package, purpose in needed.items():
        if find_spec(package) is None:
            yield f"{package} is not installed, and {purpose} needs it: pip install {package}"


def _pipeline(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Yield options that do not fit the pipeline, as far as its files are on this machine."""
    name = pipeline_name(options.model, options.revision)
    if name is None:
        return
    if name not in FAMILIES:
        problem = video_problem(name)
        if problem is not None:
            yield f"model {options.model}: {problem}"
            return
        given = [key for key in ("width", "height", "num_frames", "num_inference_steps", "negative_prompt")
                 if getattr(options, key) is not None and key not in arguments(name)]  # fmt: skip
        if given:
            yield f"{given[0]}: {name} takes no such argument (it takes {', '.join(arguments(name))})"
    if options.clip_fps is None:
        yield f"model {options.model}: it does not say how fast its clips play: give fps=FRAMES_A_SECOND"
    yield from _attention(options, name)
    yield from _exclusive(options)
    preset = preset_of(options.model)
    if weights.folder is not None:
        parts = [
            name for name in components(weights.folder) if component_weights(weights.folder / name, options.variant)
        ]
        if options.scheduler and (preset is None or options.scheduler != preset.options.get("scheduler")):
            yield from _scheduler(options, weights)
        yield from _vae_sizes(options, weights.folder)
        yield from _variant(options, weights)
    elif preset is not None:
        parts = list(preset.parameters)
    else:
        return
    for option in ("component_dtypes", "layerwise_casting", *(["quantize"] if options.quantization != "none" else [])):
        wrong = [component for component in getattr(options, option) if component not in parts]
        if wrong:
            yield f"{option}: {options.model} has no weights of {wrong[0]!r} (it has those of {', '.join(parts)})"


def _attention(options: DiffusersOptions, name: str) -> Iterator[str]:
    if options.attention is None:
        return
    backends = attention_backends()
    if options.attention not in backends:
        yield f"attention={options.attention}: diffusers has no such backend (it has {', '.join(backends)})"
    elif name in FAMILIES and not FAMILIES[name].attention:
        yield f"attention={options.attention}: {name} has an attention of its own: leave the option out"
    else:
        missing = attention_problem(options.attention)
        if missing is not None:
            yield f"attention={options.attention}: {missing}"


def _exclusive(options: DiffusersOptions) -> Iterator[str]:
    """Yield options that exclude each other."""
    for option in ("quantize", "layerwise_casting"):
        named = getattr(options, option)
        if len(set(named)) < len(named):
            yield f"{option}: it names a component twice"
    twice = set(options.layerwise_casting) & set(options.quantize) if options.quantization != "none" else set()
    if twice:
        yield f"{min(twice)} is in layerwise_casting and in quantize: leave it out of one"
    if options.compile and options.offload in ("group", "sequential"):
        yield f"compile=true does not go with offload={options.offload}: use offload=none or model"
    if options.cache is not None and options.offload == "group":
        yield "cache does not go with offload=group: use offload=none, model or sequential"
    denoisers = [component for component in options.layerwise_casting if component.startswith("transformer")]
    if options.compile and denoisers:
        yield f"compile=true does not go with layerwise_casting of the {denoisers[0]}: leave one out"


def _variant(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    held = weights.layout.weights(weights.folder) if weights.folder is not None else ()
    if options.variant is not None and not any(options.variant in re.split("[.-]", file.name) for file in held):
        yield f"variant={options.variant}: {options.model} has no weight files of that name: give variant=null"


def _vae_sizes(options: DiffusersOptions, folder: Path) -> Iterator[str]:
    """Check sizes against the autoencoder's config: some models of a class compress more than others."""
    family = FAMILIES.get(pipeline_name(options.model, options.revision) or "")
    ratio = read_json(folder / "vae" / "config.json").get("scale_factor_spatial")
    if family is not None and isinstance(ratio, int):
        wrong = replace(family, multiple=max(family.multiple, 2 * ratio)).wrong_sizes(options.sizes)
        if wrong is not None:
            yield wrong


def _scheduler(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    name = (weights.index.get("scheduler") or ["", ""])[1]
    names = settings(name)
    config = read_json((weights.folder or Path()) / "scheduler" / "scheduler_config.json")
    wrong = [key for key in options.scheduler if key not in names]
    if names and wrong:
        yield f"scheduler: {name} has no setting {wrong[0]!r} (it has {', '.join(names)})"
    elif names:
        refused = scheduler_problem(name, {**config, **options.scheduler})
        if refused is not None:
            yield f"scheduler: {name} refuses {json.dumps(options.scheduler)}: {refused}: give other values"


def _hardware(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    wrong = device_problem(options.device)
    if wrong is not None:
        yield wrong
        return
    if gpu_count(options.device):
        room = gpu_room(options.device)
        size = estimate(options, weights, room=room)
        if size is not None and size > room:
            ways = advice(options, weights, room) or [
                "take a smaller num_frames=, width= and height=, a smaller model, or more memory"
            ]
            yield (
                f"model {options.model} needs about {size / GIB:.1f} GiB of GPU memory and the GPU has "
                f"{room / GIB:.1f}: {', '.join(ways)}"
            )
        yield from _main_memory(options, weights)
    else:
        if options.quantization in ("4bit", "8bit"):
            yield (
                f"quantization={options.quantization} needs a CUDA GPU, and there is none here: run it on one, or use "
                "quantization=none"
            )
        elif options.device != "mps":
            yield from _processor(options, weights)
    if options.compile and not find_spec("triton") and gpu_count(options.device):
        yield "compile=true needs triton on a GPU: pip install triton, or leave the option out"


def _processor(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    size = estimate(options, weights, "none")
    if size is None:
        return
    if size > machine_memory():
        yield (
            f"model {options.model} needs about {size / GIB:.1f} GiB of memory and this machine has "
            f"{machine_memory() / GIB:.1f}: take a smaller model, or a machine with a CUDA GPU"
        )
    elif size > _SLOW_BYTES and sum(parameters(weights, options.variant).values()) > 1e9 and options.device != "cpu":
        yield (
            f"model {options.model} needs a CUDA GPU with about {size / GIB:.0f} GiB, and there is none here: run it "
            "on one (device=cpu runs it here all the same, at hours a clip)"
        )


def _main_memory(options: DiffusersOptions, weights: Weights) -> Iterator[str]:
    """Check the machine's own memory, into which weights are read. Weights in 4 or 8 bits go straight to the GPU."""
    passing = options.quantize if options.quantization in ("4bit", "8bit") else []
    plain = options.model_copy(update={"layerwise_casting": [], "quantization": "none"})
    parts = sizes(plain, parameters(weights, options.variant))
    size = sum(value for name, value in parts.items() if name not in passing)
    if size > free_memory():
        smaller = "" if passing else ", or quantization=4bit, whose weights go straight to the GPU"
        yield (
            f"model {options.model} takes about {size / GIB:.1f} GiB of the machine's own memory while it is loaded, "
            f"of which {free_memory() / GIB:.1f} are free: use more memory{smaller}"
        )

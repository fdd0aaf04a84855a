"""Loads a pipeline by its options, and places it on its device."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

import popbench
from popbench.errors import one_line
from popbench.local import gpu_count, is_out_of_memory, quiet
from popbench_diffusers import caches
from popbench_diffusers.calls import import_diffusers
from popbench_diffusers.memory import working

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

diffusers = import_diffusers()
FP8 = torch.float8_e4m3fn
_LIBRARIES = ("transformers", "diffusers")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MISSING_WEIGHTS = ("newly initialized", "MISSING")
"""Words in the warnings of diffusers and transformers about missing weights."""


@dataclass
class Loaded:
    """A pipeline ready to render. `accepted` has the names of its call's arguments."""

    pipeline: Any
    device: torch.device
    accepted: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.accepted = frozenset(inspect.signature(self.pipeline.__call__).parameters)


def execution_device(option: str) -> torch.device:
    """Return the device of a pipeline: the one that the option names, else the first GPU, else the CPU."""
    if gpu_count(option):
        return torch.device(option if ":" in option else "cuda:0")
    return torch.device("mps" if option == "mps" else "cpu")


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Make a GPU the current one, because some kernels, and weights in 4 or 8 bits, always use the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def load(options: DiffusersOptions, weights: Weights) -> Loaded:
    """Load the pipeline of the options, from exactly the files of the fingerprint.

    Raises ComponentError if the pipeline does not fit into memory, or the options do not fit the pipeline; else what
    diffusers raises.
    """
    device = execution_device(options.device)
    try:
        with quiet(*_LIBRARIES), on(device):
            pipeline = _read(options, weights)
            _apply_options(pipeline, options)
            place(pipeline, device, options)
    except Exception as error:  # out-of-memory alone has a remedy
        if is_out_of_memory(error):
            raise popbench.ComponentError(
                f"model {options.model} does not fit into memory: offload=model, group and sequential and "
                "quantization=8bit and 4bit need less, in this order; else take a smaller model or more memory"
            ) from None
        raise
    return Loaded(pipeline, device)


def _read(options: DiffusersOptions, weights: Weights) -> Any:
    if weights.folder is not None and weights.problem is not None:  # `check` may not have been called
        raise popbench.ComponentError(weights.problem)
    source_options: dict[str, Any] = {}
    if weights.folder is None:
        source_options["revision"] = weights.commit or options.revision
    else:
        source_options["local_files_only"] = True
    source = str(weights.folder) if weights.folder is not None else options.model
    if options.variant is not None:
        source_options["variant"] = options.variant
    dtypes = {name: getattr(torch, dtype) for name, dtype in options.component_dtypes.items()}
    load_options: dict[str, Any] = {"dtype": {"default": getattr(torch, options.dtype), **dtypes}}
    if options.quantization != "none":
        load_options["quantization_config"] = _quantization(options)
    with _missing_weights() as reports:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(source, **source_options, **load_options)
    for report in reports:
        raise popbench.ComponentError(
            f"model {options.model}: its files lack weights, which would be made up at random: copy or download them "
            f"again ({one_line(report)[:300]})"
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _apply_options(pipeline: Any, options: DiffusersOptions) -> None:
    """Apply options that are no arguments of the call; raises ComponentError if the pipeline does not have them."""
    accepted = inspect.signature(pipeline.__call__).parameters
    name = type(pipeline).__name__
    if options.guidance_scale is not None and "guidance_scale" not in accepted:
        if getattr(pipeline, "guider", None) is None:
            raise popbench.ComponentError(f"{name} takes no guidance_scale: leave it out")
        pipeline.guider = pipeline.guider.new(guidance_scale=options.guidance_scale)
    if options.scheduler:
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **options.scheduler)
    for option in ("slicing", "tiling"):
        if getattr(options, f"vae_{option}"):
            enable = getattr(getattr(pipeline, "vae", None), f"enable_{option}", None)
            if enable is None:
                raise popbench.ComponentError(f"vae_{option}: the autoencoder of {name} has none: leave it out")
            enable()
    named = [*options.component_dtypes, *options.layerwise_casting]
    for component in [*named, *options.quantize] if options.quantization != "none" else named:
        if pipeline.components.get(component) is None:
            raise popbench.ComponentError(
                f"{name} has no component {component!r} (it has {', '.join(pipeline.components)})"
            )
    for component in options.layerwise_casting:
        _cast(getattr(pipeline, component), getattr(torch, options.component_dtypes.get(component, options.dtype)))
    if options.cache is not None:
        _cache(pipeline, options, options.cache)


def _cache(pipeline: Any, options: DiffusersOptions, given: str | Mapping[str, Any]) -> None:
    """Turn on a step cache; before parts are offloaded, because hooks of offloading are taken off after each clip."""
    wrong = options.cache_problem(type(pipeline).__name__)  # the class may not have been known before
    if wrong is not None:
        raise popbench.ComponentError(wrong)
    if options.compile:
        for denoiser in _denoisers(pipeline):
            compile_forwards(denoiser)
    try:
        caches.enable(pipeline, given)
    except ValueError as error:
        raise popbench.ComponentError(one_line(error)) from None


def _cast(module: Any, compute: torch.dtype) -> None:
    """Store a module's weights in 8-bit floats, and compute in `compute`.

    Layers that a text encoder keeps in 32 bits are left out, and its embeddings too: pipelines take its computing type
    from them, and would pass its results on in 8 bits.
    """
    if hasattr(module, "enable_layerwise_casting"):
        module.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=compute)
        return
    from diffusers.hooks import layerwise_casting

    kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    diffusers.hooks.apply_layerwise_casting(
        module,
        storage_dtype=FP8,
        compute_dtype=compute,
        skip_modules_pattern=(*layerwise_casting.DEFAULT_SKIP_MODULES_PATTERN, *(rf"\b{name}$" for name in kept)),
        skip_modules_classes=(torch.nn.Embedding,),
    )


def place(pipeline: Any, device: torch.device, options: DiffusersOptions) -> None:
    """Move a pipeline to its device, and parts that are not in use to where they wait. On a CPU nothing is moved."""
    if device.type != "cpu":
        offload(pipeline, device, options.offload)
        if options.offload == "none" and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if free < working(options):
                park_text_encoders(pipeline, device)
    if options.compile and options.cache is None:
        for denoiser in _denoisers(pipeline):
            compile_blocks(denoiser)


def _denoisers(pipeline: Any) -> list[Any]:
    found = (getattr(pipeline, name, None) for name in ("transformer", "transformer_2"))
    return [denoiser for denoiser in found if denoiser is not None]


def compile_blocks(denoiser: Any) -> None:
    """Compile the repeated blocks, each kind once. If a class does not name them, blocks in module lists are taken."""
    if denoiser._repeated_blocks:
        denoiser.compile_repeated_blocks(fullgraph=True)
        return
    for block in _blocks(denoiser):
        block.compile(fullgraph=True)


def compile_forwards(denoiser: Any) -> None:
    """Compile what each block computes, but not whether it is called, which a step cache then decides at each step."""
    for block in _blocks(denoiser):
        block.forward = torch.compile(block.forward, fullgraph=True)


def _blocks(denoiser: Any) -> Iterator[Any]:
    for child in denoiser.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child


def offload(pipeline: Any, device: torch.device, way: str) -> None:
    """Move a pipeline to a device, or let diffusers move only the parts in use (`way`)."""

    if way == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif way == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    elif way == "group":
        pipeline.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
        )
    else:
        pipeline.to(device)


def park_text_encoders(pipeline: Any, device: torch.device) -> None:
    """Keep text encoders in the machine's memory while the denoiser runs. Their results are the same."""
    from accelerate import cpu_offload_with_hook

    if not hasattr(pipeline, "encode_prompt"):
        return
    hooks = []
    for name, component in pipeline.components.items():
        if name.startswith("text_encoder") and isinstance(component, torch.nn.Module):
            hooks.append(cpu_offload_with_hook(component, device)[1])
    encode = pipeline.encode_prompt

    def encode_and_park(*args: Any, **kwargs: Any) -> Any:
        try:
            return encode(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.offload()

    pipeline.encode_prompt = encode_and_park
    for hook in hooks:
        hook.offload()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def _missing_weights() -> Iterator[list[str]]:
    """Collect the libraries' warnings about missing weights, which they would replace by random ones."""
    reports: list[str] = []

    class Reports(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if any(words in record.getMessage() for words in _MISSING_WEIGHTS):
                reports.append(_COLOURS.sub("", record.getMessage()))

    handler = Reports(logging.WARNING)
    loggers = [logging.getLogger(f"{library}.modeling_utils") for library in ("diffusers.models", "transformers")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield reports
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _quantization(options: DiffusersOptions) -> Any:
    """Return the config of the quantized components. Models of diffusers and of transformers need different classes."""
    import transformers

    def config(name: str) -> Any:
        library: Any = transformers if name.startswith("text_encoder") else diffusers
        compute = getattr(torch, options.component_dtypes.get(name, options.dtype))
        if options.quantization == "4bit":
            return library.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
            )
        if options.quantization == "8bit":
            return library.BitsAndBytesConfig(load_in_8bit=True)
        import torchao.quantization

        return library.TorchAoConfig(torchao.quantization.Float8WeightOnlyConfig())

    return diffusers.PipelineQuantizationConfig(quant_mapping={name: config(name) for name in options.quantize})

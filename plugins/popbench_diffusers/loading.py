"""Loading a pipeline as the options say, and putting it where it runs."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

import popbench
from popbench.errors import one_line
from popbench.local import gpu_count, is_out_of_memory, quiet
from popbench_diffusers.calls import import_diffusers
from popbench_diffusers.memory import working

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_diffusers.options import DiffusersOptions

diffusers = import_diffusers()
FP8 = torch.float8_e4m3fn
_LIBRARIES = ("transformers", "diffusers")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_MADE_UP = ("newly initialized", "MISSING")
"""What diffusers' and transformers' reports of weights that are not there have in common."""


@dataclass
class Loaded:
    """A pipeline ready to render. `accepted` names what its call takes."""

    pipeline: Any
    device: torch.device
    accepted: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.accepted = frozenset(inspect.signature(self.pipeline.__call__).parameters)


def execution_device(option: str) -> torch.device:
    """Return where a pipeline runs: the first GPU unless the option names one, else the processor."""
    if gpu_count(option):
        return torch.device(option if ":" in option else "cuda:0")
    return torch.device("mps" if option == "mps" else "cpu")


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Make a GPU the current one: some kernels, and weights in 4 or 8 bits, go to that whatever they are told."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def load(options: DiffusersOptions, weights: Weights) -> Loaded:
    """Load what the options say, from exactly the files that the fingerprint is of.

    Raises ComponentError where the pipeline does not fit into memory, or the options do not fit it; else what
    diffusers raises.
    """
    device = execution_device(options.device)
    try:
        with quiet(*_LIBRARIES), on(device):
            pipeline = _read(options, weights)
            _adjust(pipeline, options)
            place(pipeline, device, options)
    except Exception as error:  # of the many that loading may raise, one kind has a remedy
        if is_out_of_memory(error):
            raise popbench.ComponentError(
                f"model {options.model} does not fit into memory: offload=model, group and sequential and "
                "quantization=8bit and 4bit need less, in this order; else take a smaller model or more memory"
            ) from None
        raise
    return Loaded(pipeline, device)


def _read(options: DiffusersOptions, weights: Weights) -> Any:
    if weights.folder is not None and weights.problem is not None:  # also what nobody has checked
        raise popbench.ComponentError(weights.problem)
    where: dict[str, Any] = {}
    if weights.folder is None:
        where["revision"] = weights.commit or options.revision
    else:
        where["local_files_only"] = True
    source = str(weights.folder) if weights.folder is not None else options.model
    if options.variant is not None:
        where["variant"] = options.variant
    dtypes = {name: getattr(torch, dtype) for name, dtype in options.component_dtypes.items()}
    how: dict[str, Any] = {"dtype": {"default": getattr(torch, options.dtype), **dtypes}}
    if options.quantization != "none":
        how["quantization_config"] = _quantization(options)
    with _reported() as reports:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(source, **where, **how)
    for report in reports:
        raise popbench.ComponentError(
            f"model {options.model}: its files lack weights, which would be made up at random: copy or download them "
            f"again ({one_line(report)[:300]})"
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _adjust(pipeline: Any, options: DiffusersOptions) -> None:
    """Change what is not the call's to change; raises ComponentError where the pipeline has no such thing."""
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
                raise popbench.ComponentError(f"vae_{option}: the autoencoder of {name} knows none: leave it out")
            enable()
    named = [*options.component_dtypes, *options.layerwise_casting]
    for part in [*named, *options.quantize] if options.quantization != "none" else named:
        if pipeline.components.get(part) is None:
            raise popbench.ComponentError(f"{name} has no component {part!r} (it has {', '.join(pipeline.components)})")
    for part in options.layerwise_casting:
        _cast(getattr(pipeline, part), getattr(torch, options.component_dtypes.get(part, options.dtype)))


def _cast(module: Any, compute: torch.dtype) -> None:
    """Keep a module's weights in 8-bit floats and compute in `compute`.

    Not the layers of a text encoder that it wants in 32 bits, nor its embeddings: pipelines read off them in which
    type it computes, and would hand its results on in 8 bits.
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
    """Put a pipeline where it runs, and what is not at work where it waits. On a processor nothing is to be moved."""
    if device.type != "cpu":
        offload(pipeline, device, options.offload)
        if options.offload == "none" and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if free < working(options):
                park_text_encoders(pipeline, device)
    if options.compile:
        for name in ("transformer", "transformer_2"):
            part = getattr(pipeline, name, None)
            if part is not None:
                compile_blocks(part)


def compile_blocks(denoiser: Any) -> None:
    """Compile the blocks that repeat, each kind once; where a class does not name them, those that stand in a list."""
    if denoiser._repeated_blocks:
        denoiser.compile_repeated_blocks(fullgraph=True)
        return
    for part in denoiser.children():
        for block in part if isinstance(part, torch.nn.ModuleList) else ():
            block.compile(fullgraph=True)


def offload(pipeline: Any, device: torch.device, way: str) -> None:
    """Move a pipeline to a device, or the parts that are at work."""
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
    """Let text encoders wait in the machine's memory while the denoiser runs. What they make is the same."""
    from accelerate import cpu_offload_with_hook

    if not hasattr(pipeline, "encode_prompt"):
        return
    hooks = []
    for name, part in pipeline.components.items():
        if name.startswith("text_encoder") and isinstance(part, torch.nn.Module):
            hooks.append(cpu_offload_with_hook(part, device)[1])
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
def _reported() -> Iterator[list[str]]:
    """Collect what the libraries say of weights that no file holds: they only warn, and go on with random ones."""
    found: list[str] = []

    class Reports(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if any(words in record.getMessage() for words in _MADE_UP):
                found.append(_STYLE.sub("", record.getMessage()))

    handler = Reports(logging.WARNING)
    loggers = [logging.getLogger(f"{library}.modeling_utils") for library in ("diffusers.models", "transformers")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield found
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _quantization(options: DiffusersOptions) -> Any:
    """Make the config of each quantized component: diffusers' models and transformers' have classes of their own."""
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

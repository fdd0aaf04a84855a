"""Checks whether a model can run in vLLM here, and which files of a folder it is. Each problem is one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from popbench.local import GIB, Layout, asks_for_kernels, broken_weights, gpu_count, gpu_memory, lacks_shards
from popbench.local import weight_files as weight_files_of

if TYPE_CHECKING:
    from popbench.local import Weights
    from popbench_vllm.options import EngineOptions

OLDEST = (0, 28)
"""The first version that installs beside the libraries of popbench, and whose API is followed here."""
_INSTALL = 'pip install "popbench[vllm]" (in a clone: pip install -e ".[vllm]")'
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken", "tekken.json")
_TEXTS = {".json", ".jinja", ".txt", ".model", ".py", ".tiktoken"}


def missing() -> str:
    """Return that vLLM is not installed or too old, with how to get it; empty if all is well. Imports nothing."""
    try:
        found = version("vllm")
    except PackageNotFoundError:
        return f"vLLM is not installed: {_INSTALL}"
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    return f"vLLM {found} is too old: {_INSTALL}" if numbers < OLDEST else ""


def problems(options: EngineOptions, weights: Weights) -> Iterator[str]:
    """Yield problems, in a few seconds at most, also without a network."""
    if lack := missing():
        yield lack
        return  # the rest can be told when it is there
    if weights.problem is not None:
        yield weights.problem
    if options.chat_template is not None:
        try:
            Path(options.chat_template).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            yield f"chat_template {options.chat_template}: {why}; give a Jinja file"
    gpus, wanted = gpu_count("auto"), options.tensor_parallel_size
    if not gpus:
        yield "vLLM needs a CUDA GPU, and there is none here: run it where there is one, or take transformers,model=..."
    elif wanted > gpus:
        yield f"tensor_parallel_size={wanted}: this machine has only {gpus} CUDA GPU{'s' * (gpus > 1)}"
    elif (size := weights.stored_bytes) is not None and options.quantization is None:
        share = gpu_memory("auto") * wanted / gpus * options.gpu_memory_utilization
        if size > share:
            yield (
                f"model {options.model}: its weights take {size / GIB:.0f} GiB, and vLLM may use {share / GIB:.0f} GiB "
                "of GPU memory: spread it over more GPUs (tensor_parallel_size=), or quantize it (quantization=fp8)"
            )


def _problem(folder: Path) -> str | None:
    """Return in a few words why vLLM cannot load a folder; None if nothing is wrong."""
    return asks_for_kernels(folder) or broken_weights(folder, _WEIGHTS) or _lacks_tokenizer(folder)


def _lacks_tokenizer(folder: Path) -> str | None:
    if any(next(folder.glob(pattern), None) for pattern in _TOKENIZERS):
        return None
    return "the folder holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json): copy that of its base model"


def _complete(folder: Path) -> bool:
    return bool(weight_files_of(folder)) and not lacks_shards(folder, _WEIGHTS) and _lacks_tokenizer(folder) is None


def _files(folder: Path) -> Iterator[Path]:
    """Yield the weights, and the texts that results may depend on, those one folder below too."""
    yield from weight_files_of(folder)
    for file in (*folder.glob("*"), *folder.glob("[!.]*/*")):
        if file.suffix in _TEXTS:
            yield file


LAYOUT = Layout("transformers model", "config.json", _problem, _complete, _files, weight_files_of)
"""The folders that vLLM loads: those of transformers."""

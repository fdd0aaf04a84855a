"""Loads a model with its tokenizer, and answers questions about both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import transformers as _transformers

import popbench
from popbench.local import gpu_count, is_out_of_memory, quiet
from popbench_transformers.reader import Reader, opened, read
from popbench_transformers.structured import Grammars

if TYPE_CHECKING:
    from popbench.local import ChatFormat, Weights
    from popbench_transformers.options import TransformersOptions

transformers: Any = _transformers  # much of it is untyped


@dataclass
class Loaded:
    """A model in memory with its reader. `defaults` is the model's own generation config."""

    model: Any
    reader: Reader
    defaults: Any

    @property
    def tokenizer(self) -> Any:
        """Return the tokenizer."""
        return self.reader.tokenizer

    @property
    def format(self) -> ChatFormat:
        """Return the chat format."""
        return self.reader.format

    @property
    def context(self) -> int:
        """Return the most tokens of prompt and answer together."""
        return self.reader.context

    @cached_property
    def device(self) -> torch.device:
        """Return the device that takes token ids."""
        return torch.device(self.model.get_input_embeddings().weight.device)

    @cached_property
    def gpus(self) -> list[int]:
        """Return the CUDA GPUs that hold parts of the model."""
        devices = {parameter.device for parameter in self.model.parameters() if parameter.device.type == "cuda"}
        return sorted(device.index for device in devices)

    @cached_property
    def eos(self) -> tuple[int, ...]:
        """Return the tokens that end an answer: the model's and the tokenizer's."""
        own = self.defaults.eos_token_id
        ids = [*(own if isinstance(own, list | tuple) else [own]), self.tokenizer.eos_token_id]
        return tuple(dict.fromkeys(id_ for id_ in ids if id_ is not None))

    @cached_property
    def pad(self) -> int:
        """Return the token that pads rows on the left. It is masked, so any token would do."""
        token = self.tokenizer.pad_token_id
        return int(token if token is not None else self.eos[0] if self.eos else 0)

    @cached_property
    def grammars(self) -> Grammars:
        """Return the grammars of structured answers; made once, in under a second."""
        return Grammars(self.tokenizer, self.eos)

    def generation_config(self, max_new_tokens: int) -> Any:
        """Return the config of one call: plain argmax, because `Sampler` chooses tokens and `Batch` stops rows."""
        return transformers.GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True, pad_token_id=self.pad
        )

    def row_bytes(self, prompt: int, width: int) -> float:
        """Estimate the bytes of a row of `width` tokens, with `prompt` of them read at once.

        It is the sum of cache, activations and logits.
        """
        config = self.model.config.get_text_config()
        size = torch.empty(0, dtype=self.model.dtype).element_size()
        hidden, heads = getattr(config, "hidden_size", 4096), getattr(config, "num_attention_heads", 1)
        head = getattr(config, "head_dim", None) or hidden // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        cache = 2 * getattr(config, "num_hidden_layers", 1) * kv_heads * head * size
        inner = getattr(config, "intermediate_size", None) or 4 * hidden
        logits = 10 * 4 * getattr(config, "vocab_size", 0)
        return float(cache * width + (2 * inner + 6 * hidden) * size * prompt + logits)


def load(options: TransformersOptions, weights: Weights) -> Loaded:
    """Load the model of the options, from exactly the files of the fingerprint.

    Raises ComponentError if the model does not fit into memory; else what transformers raises.
    """
    refuse(weights)
    reader = read(options, weights)
    if reader.format.problem is not None:
        raise popbench.ComponentError(
            f"model {options.model}: its chat template cannot be used: {reader.format.problem}"
        )
    model, defaults = load_model(options, weights, transformers.AutoModelForCausalLM)
    return Loaded(model, reader, defaults)


def refuse(weights: Weights) -> None:
    """Raise ComponentError for a folder that cannot be loaded: `check` may not have been called."""
    if weights.folder is not None and weights.problem is not None:
        raise popbench.ComponentError(weights.problem)


def load_model(options: TransformersOptions, weights: Weights, auto: Any) -> tuple[Any, Any]:
    """Load a model by one of transformers' auto classes; return it with its own generation config.

    Raises ComponentError if it does not fit into memory; else what transformers raises.
    """
    try:
        with quiet("transformers"), opened(options, weights) as (source, source_options):
            model = auto.from_pretrained(source, **source_options, **_load_options(options, weights))
    except Exception as error:  # out-of-memory alone has a remedy
        if is_out_of_memory(error):
            raise popbench.ComponentError(
                f"model {options.model} does not fit into memory: quantization=4bit needs least; else take a smaller "
                "model or more memory"
            ) from None
        raise
    model.eval()
    defaults = model.generation_config
    # else `generate` would apply the model's own settings again, after `Decoding.resolve`
    model.generation_config = transformers.GenerationConfig()
    return model, defaults


def _load_options(options: TransformersOptions, weights: Weights) -> dict[str, Any]:
    dtype = options.dtype if options.dtype == "auto" else getattr(torch, options.dtype)
    how: dict[str, Any] = {"dtype": dtype}
    if options.quantization != "none" and "quantization_config" not in weights.index:
        compute = torch.bfloat16 if options.dtype == "auto" else dtype
        how["quantization_config"] = (
            transformers.BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
            )
            if options.quantization == "4bit"
            else transformers.BitsAndBytesConfig(load_in_8bit=True)
        )
    gpus = gpu_count(options.device)
    if gpus > 1:
        how["device_map"] = "auto"
    elif gpus:
        how["device_map"] = {"": options.device if ":" in options.device else "cuda:0"}
    elif options.device == "mps":
        how["device_map"] = {"": "mps"}
    elif "quantization_config" in how or "quantization_config" in weights.index:
        how["device_map"] = {"": "cpu"}  # else it would be loaded onto a GPU if there is one
    return how

"""Language models with a few thousand random weights, saved in the real format."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from popbench.local import quiet
from popbench.testing import sample_chats

_hf: Any = transformers

Family = Literal["llama", "qwen2"]
Style = Literal["system", "no-system", "swallows-system", "no-template", "thinking", "thinks-itself"]

PAD, END, START, THINK, UNTHINK = "<|pad|>", "<|im_end|>", "<|im_start|>", "<think>", "</think>"
_TURN = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
_REPLY = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_REFUSE = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
_SWALLOW = _TURN.replace("in messages %}", "in messages if m['role'] != 'system' %}")
TEMPLATES: dict[str, str | None] = {
    "system": _TURN + _REPLY,
    "no-system": _REFUSE + _TURN + _REPLY,
    "swallows-system": _SWALLOW + _REPLY,
    "no-template": None,
    "thinking": _TURN + _REPLY.replace("assistant\\n", "assistant\\n<think>\\n"),
    "thinks-itself": _TURN + _REPLY,
}
CONTEXT = 8192


@cache
def _root() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="popbench-tiny-llms-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _backend(thinks: bool) -> str:
    """Train a small byte-level BPE tokenizer, as most open models have one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [message["content"] for chat in sample_chats() for message in chat.messages]
    specials = [PAD, END, START, *([THINK, UNTHINK] if thinks else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts * 4, trainer)
    return str(tokenizer.to_str())


def make_tokenizer(style: Style = "system", *, pad: bool = True) -> Any:
    """Make a tokenizer; without `pad` it has no padding token, like Llama's."""
    backend = Tokenizer.from_str(_backend(style.startswith("think")))
    specials = {"eos_token": END, "additional_special_tokens": [START]} | ({"pad_token": PAD} if pad else {})
    tokenizer = _hf.PreTrainedTokenizerFast(tokenizer_object=backend, **specials)
    tokenizer.chat_template = TEMPLATES[style]
    return tokenizer


def build(
    folder: Path,
    family: Family = "llama",
    style: Style = "system",
    *,
    seed: int = 0,
    context: int = CONTEXT,
    sharp: float = 0.1,
    **generation: Any,
) -> Path:
    """Save a model with its tokenizer into `folder`; `generation` goes into its generation config.

    The larger `sharp`, the surer the model is of its next token.
    """
    tokenizer = make_tokenizer(style, pad=family == "qwen2")
    sizes: dict[str, Any] = {
        "vocab_size": (len(tokenizer) + 127) // 64 * 64,  # larger than the tokenizer's, as real ones are
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "initializer_range": sharp,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config, model = {
        "llama": (_hf.LlamaConfig, _hf.LlamaForCausalLM),
        "qwen2": (_hf.Qwen2Config, _hf.Qwen2ForCausalLM),
    }[family]
    with quiet("transformers"), torch.random.fork_rng():
        torch.manual_seed(seed)
        made = model(config(**sizes))
        for name, value in generation.items():
            setattr(made.generation_config, name, value)
        made.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


@cache
def tiny(family: Family = "llama", style: Style = "system") -> Path:
    """Return a model's folder, made once per test session. Tests that change files copy it first."""
    return build(_root() / f"tiny-{family}-{style}", family, style)


def quantized(source: Path, folder: Path) -> Path:
    """Save a model's weights as 4-bit ones."""
    with quiet("transformers"):
        config = _hf.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
        model = _hf.AutoModelForCausalLM.from_pretrained(source, quantization_config=config)
        model.save_pretrained(folder)
        _hf.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder

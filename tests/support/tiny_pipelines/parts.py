"""Shared by the pipelines: tokenizers, text encoders and random weights."""

from __future__ import annotations

import string
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

_hf: Any = transformers
_df: Any = diffusers

WIDTH = 32  # of all text encoders
CHARACTERS = sorted({*string.printable.strip(), *(chr(code) for code in range(0xA1, 0x180))})
_WORDS = (
    "a an and are at by cat cats city close dance dog down food for from game girl hand her his in is it light "
    "little man music night of on one open out over people play red rain road sea see slow small song street sun "
    "the their they to tree two under up video walk water white with woman"
)


def t5_tokenizer(length: int) -> Any:
    """Make a tokenizer of single characters and a few words, which truncates at `length` tokens as asked."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(character, -3.0) for character in CHARACTERS]
    pieces += [(f"▁{word}", -2.0) for word in _WORDS.split()]
    return _hf.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def t5(tokenizer: Any, config: str = "T5Config", model: str = "T5EncoderModel") -> Any:
    """Make the encoder of a T5-like model for a tokenizer."""
    sizes = {"vocab_size": len(tokenizer), "d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return getattr(_hf, model)(getattr(_hf, config)(**sizes, feed_forward_proj="gated-gelu", is_encoder_decoder=False))


def bpe(specials: list[str], text: str, first: str = "") -> Any:
    """Train a byte-level tokenizer to which each word of `text` is one token; it puts `first` before each text."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2048, special_tokens=specials, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    backend.train_from_iterator([text], trainer)
    if first:
        ids = [(first, backend.token_to_id(first))]
        backend.post_processor = processors.TemplateProcessing(single=f"{first} $A", special_tokens=ids)
    return backend


def decoder_sizes(tokenizer: Any, layers: int = 3) -> dict[str, Any]:
    """Return the settings of a Llama-like text encoder for a tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def clip_tokenizer() -> Any:
    """Make a CLIP tokenizer of single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{character}</w>" for character in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return _hf.CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def clip(tokenizer: Any) -> Any:
    """Make CLIP's text encoder for a tokenizer."""
    return _hf.CLIPTextModel(
        _hf.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def draw(module: torch.nn.Module, gain: float = 1.0) -> None:
    """Draw a module's weights so that signals keep their size: libraries initialize many to zero or tiny values."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim < 2:
                if name.endswith("bias"):
                    weight.normal_(0, 0.1)
            elif "table" in name or "relative" in name:
                weight.normal_(0, 0.3)
            elif any(part in name for part in ("embed_tokens", "shared", "token_embedding")):
                weight.normal_(0, 1.0)
            else:
                weight.normal_(0, gain / weight[0].numel() ** 0.5)


def flow_scheduler(**settings: Any) -> Any:
    """Make the scheduler of most flow-matching models."""
    return _df.FlowMatchEulerDiscreteScheduler(**settings)

"""Writes tiny models as GGUF files, with the tensors and the tokenizer of a folder that `tiny_llms` made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

from tiny_llms import END, PAD, TEMPLATES

_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
_LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write(
    source: Path,
    file: Path,
    *,
    template: str | None = TEMPLATES["system"],
    quantized: bool = False,
    metadata: Mapping[str, str | int] | None = None,
    architecture: str = "llama",
) -> Path:
    """Write the llama model in `source` to `file`: in float32, or in 8-bit blocks."""
    config = json.loads((source / "config.json").read_text())
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    _add_tokenizer(writer, source, config["vocab_size"])
    if template is not None:
        writer.add_chat_template(template)
    for key, value in (metadata or {}).items():
        if isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_string(key, value)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, tensor in load_file(source / "model.safetensors").items():
        short = _short(name)
        rows = _interleaved(tensor, heads[short.split(".")[-2]]) if short.split(".")[-2] in heads else tensor
        rows = np.ascontiguousarray(rows, np.float32)
        if quantized and rows.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(short, gguf.quants.quantize(rows, kind), raw_dtype=kind)
        else:
            writer.add_tensor(short, rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: Any, source: Path, size: int) -> None:
    model = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["id"] for token in model["added_tokens"] if token["special"]}
    vocabulary = {**model["model"]["vocab"], **{token["content"]: token["id"] for token in model["added_tokens"]}}
    tokens = {number: token for token, number in vocabulary.items()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokens.get(number, f"<unused{number}>") for number in range(size)])
    writer.add_token_types(
        [_UNUSED if number not in tokens else _CONTROL if number in special else _NORMAL for number in range(size)]
    )
    writer.add_token_merges(merges)
    writer.add_eos_token_id(vocabulary[END])
    writer.add_pad_token_id(vocabulary[PAD])
    writer.add_add_bos_token(False)


def _short(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{ending}"
    _, _, number, part = stem.split(".", 3)
    return f"blk.{number}.{_LAYER[part]}.{ending}"


def _interleaved(rows: Any, heads: int) -> Any:
    """Return rows in the order of the format, which has the two halves of a rotation side by side."""
    return rows.reshape(heads, 2, len(rows) // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)

"""The paper's three pipelines in their real shapes with random weights, saved in the real format: no downloads.

Speed and memory depend on shapes alone. Schedulers and tokenizers are those of `tiny_pipelines`, whose prompts are
padded to the real lengths; the models are made from the real configurations, part by part, on the device where
drawing weights is fast.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from popbench.local import quiet, release_memory
from tiny_pipelines import Family, build
from tiny_pipelines.parts import draw

_df: Any = diffusers
_hf: Any = transformers

T5_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 32128}
LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128320, "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}  # fmt: skip
CLIP_L = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "projection_dim": 768, "vocab_size": 49408,
}  # fmt: skip
FULL: Mapping[Family, Mapping[str, Mapping[str, Any]]] = {
    "ltx": {
        "transformer": {
            "num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 64, "cross_attention_dim": 2048,
            "caption_channels": 4096, "in_channels": 128, "out_channels": 128,
        },
        "vae": {
            "latent_channels": 128, "block_out_channels": (128, 256, 512, 512), "layers_per_block": (4, 3, 3, 3, 4),
            "decoder_block_out_channels": (128, 256, 512, 512), "decoder_layers_per_block": (4, 3, 3, 3, 4),
        },
        "text_encoder": T5_XXL,
    },
    "cogvideox": {
        "transformer": {
            "num_layers": 42, "num_attention_heads": 48, "attention_head_dim": 64, "in_channels": 16,
            "out_channels": 16, "time_embed_dim": 512, "text_embed_dim": 4096, "max_text_seq_length": 226,
            "sample_width": 90, "sample_height": 60, "sample_frames": 49, "use_rotary_positional_embeddings": True,
        },
        "vae": {
            "block_out_channels": (128, 256, 256, 512), "latent_channels": 16, "layers_per_block": 3,
            "sample_width": 720, "sample_height": 480, "scaling_factor": 0.7,
        },
        "text_encoder": T5_XXL,
    },
    "hunyuan": {
        "transformer": {
            "num_layers": 20, "num_single_layers": 40, "num_refiner_layers": 2, "num_attention_heads": 24,
            "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_embed_dim": 4096,
            "pooled_projection_dim": 768, "guidance_embeds": True, "rope_axes_dim": (16, 56, 56),
        },
        "vae": {"block_out_channels": (128, 256, 512, 512), "latent_channels": 16, "layers_per_block": 2},
        "text_encoder": LLAMA_8B,
        "text_encoder_2": CLIP_L,
    },
}  # fmt: skip


def build_full(folder: Path, family: Family, dtypes: Mapping[str, torch.dtype], device: str) -> dict[str, int]:
    """Save a pipeline of the real size into `folder`, each part in its dtype; return the parameters of each part."""
    build(folder, family)
    with quiet("transformers", "diffusers"):
        tiny = _df.DiffusionPipeline.from_pretrained(folder)
        counts = {}
        for name, settings in FULL[family].items():
            made = make(getattr(tiny, name), settings, dtypes[name], device)
            counts[name] = sum(weight.numel() for weight in made.parameters())
            shutil.rmtree(folder / name)
            made.save_pretrained(folder / name, max_shard_size="5GB")
            del made
            release_memory()
    return counts


def make(tiny: Any, settings: Mapping[str, Any], dtype: torch.dtype, device: str) -> Any:
    """Make a model of the class of a tiny one with other settings; what they leave out is the class's default.

    A text encoder's tokens with a meaning are those of the tiny one's tokenizer.
    """
    with torch.device("meta"):
        if isinstance(tiny, _hf.PreTrainedModel):
            made = type(tiny)(type(tiny.config)(**{**tiny.config.to_dict(), **settings}))
        else:
            made = type(tiny)(**settings)
    made.to(dtype).to_empty(device=device)
    if hasattr(made, "tie_weights"):
        made.tie_weights()
    for name, weight in made.state_dict().items():  # scales of norms are 1; `draw` draws the biases
        if weight.ndim < 2:
            weight.fill_(0.0 if name.endswith(("bias", "mean")) else 1.0)
    draw(made)
    return made

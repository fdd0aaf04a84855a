"""HunyuanVideoPipeline: latents 8 times smaller in space, 4 times in time, in patches of 2 x 2."""

from __future__ import annotations

from typing import Any

import diffusers
import transformers
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE

from tiny_pipelines.parts import WIDTH, bpe, clip, clip_tokenizer, decoder_sizes, draw, flow_scheduler

_df: Any = diffusers
_hf: Any = transformers
_LATENT = 8


def llama_tokenizer() -> Any:
    """Make a tokenizer that knows the words of the pipeline's template, which takes some 95 tokens, as in the real one.

    The pipeline drops the first 95 tokens and what follows the 351st.
    """
    specials = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<pad>"]
    backend = bpe(specials, str(DEFAULT_PROMPT_TEMPLATE["template"]), first=specials[0])
    return _hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=specials[0], eos_token=specials[1], pad_token=specials[-1]
    )


def make() -> Any:
    """Make the pipeline."""
    tokenizer, tokenizer_2 = llama_tokenizer(), clip_tokenizer()
    transformer = _df.HunyuanVideoTransformer3DModel(
        in_channels=_LATENT,
        out_channels=_LATENT,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    vae = _df.AutoencoderKLHunyuanVideo(
        latent_channels=_LATENT, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2
    )
    text_encoder = _hf.LlamaModel(_hf.LlamaConfig(**decoder_sizes(tokenizer)))
    parts = {
        "vae": vae,
        "transformer": transformer,
        "text_encoder": text_encoder,
        "text_encoder_2": clip(tokenizer_2),
    }
    for part in parts.values():
        draw(part)
    return _df.HunyuanVideoPipeline(
        scheduler=flow_scheduler(shift=7.0), tokenizer=tokenizer, tokenizer_2=tokenizer_2, **parts
    )

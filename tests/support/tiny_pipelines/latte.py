"""LattePipeline, whose VAE is one of images and whose number of frames is called `video_length`."""

from __future__ import annotations

from typing import Any

import diffusers

from tiny_pipelines.parts import WIDTH, draw, t5, t5_tokenizer

_df: Any = diffusers
_LATENT = 4


def make() -> Any:
    """Make the pipeline."""
    tokenizer = t5_tokenizer(120)
    transformer = _df.LatteTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=_LATENT,
        out_channels=2 * _LATENT,
        num_layers=1,
        cross_attention_dim=32,
        attention_bias=True,
        sample_size=8,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=WIDTH,
        video_length=8,
    )
    vae = _df.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=_LATENT,
        norm_num_groups=2,
        sample_size=64,
    )
    parts = {"vae": vae, "transformer": transformer, "text_encoder": t5(tokenizer)}
    for part in parts.values():
        draw(part)
    scheduler = _df.DDIMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear", clip_sample=False)
    return _df.LattePipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)

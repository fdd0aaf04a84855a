"""TextToVideoSDPipeline, as ModelScope's: a UNet over latents of an image VAE, 8 times smaller in space only."""

from __future__ import annotations

from typing import Any

import diffusers

from tiny_pipelines.parts import WIDTH, clip, clip_tokenizer, draw

_df: Any = diffusers


def make() -> Any:
    """Make the pipeline."""
    tokenizer = clip_tokenizer()
    unet = _df.UNet3DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        sample_size=8,
    )
    vae = _df.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=2,
        sample_size=64,
    )
    parts = {"vae": vae, "unet": unet, "text_encoder": clip(tokenizer)}
    for part in parts.values():
        draw(part)
    scheduler = _df.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    return _df.TextToVideoSDPipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)

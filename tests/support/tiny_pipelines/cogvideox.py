"""CogVideoXPipeline, as CogVideoX-5b: latents 8 times smaller in space, 4 times in time, in patches of 2 x 2."""

from __future__ import annotations

from typing import Any

import diffusers

from tiny_pipelines.parts import WIDTH, draw, t5, t5_tokenizer

_df: Any = diffusers
_LATENT = 8
_LENGTH = 226  # the pipeline's default, which the transformer must share


def make() -> Any:
    """Make the pipeline."""
    tokenizer = t5_tokenizer(_LENGTH)
    transformer = _df.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=_LATENT,
        out_channels=_LATENT,
        time_embed_dim=8,
        text_embed_dim=WIDTH,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=9,
        max_text_seq_length=_LENGTH,
        use_rotary_positional_embeddings=True,
    )
    vae = _df.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=_LATENT,
        layers_per_block=1,
        norm_num_groups=2,
        sample_height=96,  # tiles of 48 x 40: of other sizes they do not add up to the clip
        sample_width=80,
    )
    parts = {"vae": vae, "transformer": transformer, "text_encoder": t5(tokenizer)}
    for part in parts.values():
        draw(part)
    scheduler = _df.CogVideoXDPMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0,
        timestep_spacing="trailing",
    )
    return _df.CogVideoXPipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)

"""WanPipeline, as Wan 2.2 5B: latents 16 times smaller in space, in patches of 2 x 2."""

from __future__ import annotations

from typing import Any

from tiny_pipelines import wan
from tiny_pipelines.parts import draw

_LATENT = 8


def make() -> Any:
    """Make the pipeline."""
    pipeline = wan.make()
    vae = wan.autoencoder(
        z_dim=_LATENT,
        latents_mean=[0.0] * _LATENT,
        latents_std=[1.0] * _LATENT,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        decoder_base_dim=4,
    )
    parts = {"vae": vae, "transformer": wan.denoiser(in_channels=_LATENT, out_channels=_LATENT)}
    for part in parts.values():
        draw(part)
    kept = {name: getattr(pipeline, name) for name in ("tokenizer", "text_encoder", "scheduler")}
    return type(pipeline)(**kept, **parts, expand_timesteps=True)

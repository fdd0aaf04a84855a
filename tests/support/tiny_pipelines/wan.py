"""WanPipeline, as Wan 2.1: latents 8 times smaller in space, 4 times in time, in patches of 2 x 2."""

from __future__ import annotations

from typing import Any

import diffusers

from tiny_pipelines.parts import WIDTH, draw, t5, t5_tokenizer

_df: Any = diffusers


def denoiser(kind: str = "WanTransformer3DModel", **changes: Any) -> Any:
    """Make the denoiser, or one of a class that shares its sizes."""
    sizes: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "text_dim": WIDTH,
        "freq_dim": 32,
        "ffn_dim": 64,
        "num_layers": 2,
        "rope_max_seq_len": 64,
    }
    return getattr(_df, kind)(**sizes | changes)


def autoencoder(**changes: Any) -> Any:
    """Make the VAE."""
    return _df.AutoencoderKLWan(base_dim=4, num_res_blocks=1, **changes)


def make() -> Any:
    """Make the pipeline."""
    tokenizer = t5_tokenizer(512)
    parts = {
        "vae": autoencoder(),
        "transformer": denoiser(),
        "text_encoder": t5(tokenizer, "UMT5Config", "UMT5EncoderModel"),
    }
    for part in parts.values():
        draw(part)
    scheduler = _df.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    return _df.WanPipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)

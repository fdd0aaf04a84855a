"""SkyReelsV2Pipeline: the parts of Wan with a denoiser class of its own."""

from __future__ import annotations

from typing import Any

import diffusers

from tiny_pipelines import wan
from tiny_pipelines.parts import draw

_df: Any = diffusers


def make() -> Any:
    """Make the pipeline."""
    pipeline = wan.make()
    transformer = wan.denoiser("SkyReelsV2Transformer3DModel")
    draw(transformer)
    kept = {name: getattr(pipeline, name) for name in ("tokenizer", "text_encoder", "vae", "scheduler")}
    return _df.SkyReelsV2Pipeline(transformer=transformer, **kept)

"""WanPipeline, as Wan 2.2: one denoiser for the first, noisy steps and another for the others."""

from __future__ import annotations

from typing import Any

from tiny_pipelines import wan
from tiny_pipelines.parts import draw


def make() -> Any:
    """Make the pipeline."""
    pipeline = wan.make()
    second = wan.denoiser()
    draw(second)
    pipeline.register_modules(transformer_2=second)
    pipeline.register_to_config(boundary_ratio=0.875)
    return pipeline

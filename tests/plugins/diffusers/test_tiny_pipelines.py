from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from popbench.local import quiet
from tiny_pipelines import FAMILIES, SMALLEST, Family, build, tiny

# Mochi asks for what a CPU does not have
pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")


def load(family: Family) -> Any:
    diffusers: Any = import_module("diffusers")
    with quiet("transformers", "diffusers"):
        pipeline = diffusers.DiffusionPipeline.from_pretrained(tiny(family), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline: Any, family: Family, prompt: str, seed: int) -> Any:
    smallest = SMALLEST[family]
    # the families without an adapter may call it otherwise
    frames = next(name for name in ("num_frames", "video_length") if name in inspect.signature(pipeline).parameters)
    with quiet("transformers", "diffusers"):
        clips = pipeline(
            prompt=prompt,
            width=smallest.width,
            height=smallest.height,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(seed),
            output_type="pt",
            **{frames: smallest.num_frames},
        ).frames
    assert not torch.isnan(clips).any()
    return np.round(clips[0].float().numpy() * 255).astype(np.int16)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_renders_what_prompt_and_seed_say(family: Family) -> None:
    smallest = SMALLEST[family]
    pipeline = load(family)
    assert type(pipeline).__name__ == smallest.pipeline
    cat = render(pipeline, family, "Cat", 1)
    assert cat.shape == (smallest.num_frames, 3, smallest.height, smallest.width)
    assert cat.std() > 20, "neither black nor of one colour"
    assert ((cat == 0) | (cat == 255)).mean() < 0.5, "not saturated either"
    assert np.abs(np.diff(cat, axis=0)).max() >= 5, "it moves"
    assert (cat == render(pipeline, family, "Cat", 1)).all()
    assert np.abs(cat - render(pipeline, family, "Dog", 1)).max() >= 5
    assert np.abs(cat - render(pipeline, family, "Cat", 2)).max() >= 5


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_makes_the_same_files(family: Family, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    again, other = build(tmp_path / "again", family), build(tmp_path / "other", family, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    files = {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert files == {path.relative_to(tiny(family)) for path in tiny(family).rglob("*") if path.is_file()}
    assert all((again / file).read_bytes() == (tiny(family) / file).read_bytes() for file in files)
    weights = [file for file in files if file.suffix == ".safetensors"]
    assert weights
    assert all((again / file).read_bytes() != (other / file).read_bytes() for file in weights)

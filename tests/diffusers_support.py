"""What the tests of the diffusers plugin share: tiny pipelines as specs and as generators, and damaged copies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import popbench
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.options import DiffusersOptions
from tiny_pipelines import SMALLEST, Family, tiny

PRESETS: dict[str, Family] = {
    "ltx": "ltx",
    "cogvideox-5b": "cogvideox",
    "hunyuan": "hunyuan",
    "wan-2.1-1.3b": "wan",
    "hunyuan-1.5": "hunyuan-1.5",
    "ltx-2": "ltx-2",
    "mochi": "mochi",
}
"""Presets, and the tiny pipeline that stands for each one's model."""
PRESET_FAMILIES = tuple(PRESETS.values())
CAT = popbench.VideoRequest("cat", "A cat walks in the rain", 1)
DOG = popbench.VideoRequest("dog", "A dog on the street", 2)
SEA = popbench.VideoRequest("sea", "The sea at night", 3)
MOCHI_WARNS = "ignore:In CPU autocast:UserWarning"
"""Mochi asks for what a processor does not have."""


def settings(family: Family, **changes: Any) -> dict[str, Any]:
    """Return the options of the smallest clip of a family."""
    smallest = SMALLEST[family]
    frames = "video_length" if family == "latte" else "num_frames"
    found: dict[str, Any] = {"model": str(tiny(family)), "width": smallest.width, "height": smallest.height}
    found |= {frames: smallest.num_frames, "num_inference_steps": 2}
    if family in ("latte", "modelscope"):
        found["fps"] = 8
    return found | changes


def spec(name: str, family: Family, **changes: Any) -> str:
    """Write a generator's spec as it is typed."""
    values = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in settings(family, **changes).items()
    }
    return ",".join([name, *(f"{key}={value}" for key, value in values.items())])


def make(family: Family = "ltx", **changes: Any) -> DiffusersGenerator:
    """Make a generator; in 32 bits unless told otherwise, which is the fastest on a processor."""
    return DiffusersGenerator(DiffusersOptions(**{"dtype": "float32", **settings(family, **changes)}))


def answers(generator: DiffusersGenerator, *requests: popbench.VideoRequest) -> dict[str, Any]:
    """Return what a generator answers, by id."""
    found = {answer.id: answer for answer in generator.generate(iter(requests))}
    assert len(found) == len(requests)
    return found


def frames(generator: DiffusersGenerator, *requests: popbench.VideoRequest) -> dict[str, NDArray[np.uint8]]:
    """Return the frames of clips, none of which fails, by id."""
    found = {}
    for id_, answer in answers(generator, *requests).items():
        assert isinstance(answer, popbench.Clip), answer
        assert answer.frames is not None
        found[id_] = np.asarray(answer.frames)
    return found


def same(first: dict[str, NDArray[np.uint8]], second: dict[str, NDArray[np.uint8]], ids: Iterable[str]) -> bool:
    """Whether clips are equal to the last bit."""
    return all(np.array_equal(first[id_], second[id_]) for id_ in ids)


def copied(folder: Path, family: Family = "ltx") -> Path:
    """Copy a pipeline, to change its files."""
    shutil.copytree(tiny(family), folder)
    return folder


def with_last_bias(folder: Path, value: float) -> Path:
    """Copy the LTX pipeline, whose decoder then adds `value` to every channel at the end."""
    file = copied(folder) / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_out.conv.bias"].fill_(value)
    save_file(weights, file, {"format": "pt"})
    return folder

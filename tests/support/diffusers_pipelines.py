"""Helpers of the diffusers plugin's tests: tiny pipelines, damaged copies, and simulated machines."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import hub_cache
import popbench
from hub_cache import COMMIT
from popbench.local import GIB
from popbench.registry import load_registry
from popbench_diffusers import checks, folders
from popbench_diffusers.generator import DiffusersGenerator
from popbench_diffusers.options import DiffusersOptions
from popbench_diffusers.presets import PRESETS as ALL_PRESETS
from tiny_pipelines import SMALLEST, Family, tiny
from usage_errors import refusal

PRESETS: dict[str, Family] = {
    "ltx": "ltx",
    "cogvideox-5b": "cogvideox",
    "hunyuan": "hunyuan",
    "wan-2.1-1.3b": "wan",
    "hunyuan-1.5": "hunyuan-1.5",
    "ltx-2": "ltx-2",
    "mochi": "mochi",
    "wan-2.2-5b": "wan-2.2-5b",
    "wan-2.2-a14b": "wan-2.2",
    "skyreels-v2": "skyreels-v2",
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
    """Make a generator, in 32 bits by default, which is the fastest type on a CPU."""
    return DiffusersGenerator(DiffusersOptions(**{"dtype": "float32", **settings(family, **changes)}))


def pipeline_of(generator: DiffusersGenerator) -> Any:
    """Return the pipeline that a generator has loaded."""
    assert generator._renderer is not None
    return generator._renderer._pipeline


def answers(generator: DiffusersGenerator, *requests: popbench.VideoRequest) -> dict[str, Any]:
    """Return a generator's answers, by id."""
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
    """Return whether clips are equal to the last bit."""
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


# -- options as they are typed


def written(name: str, /, **options: Any) -> str:
    """Write a generator's spec of these options alone."""
    shown = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items())
    return ",".join([name, *shown])


def resolved(name: str, /, **options: Any) -> DiffusersGenerator:
    """Make a generator as a run does."""
    component = load_registry().resolve("generator", written(name, **options)).component
    assert isinstance(component, DiffusersGenerator)
    return component


def of(folder: Path, **options: Any) -> DiffusersGenerator:
    """Make the generator of a folder, as a run does."""
    return resolved("diffusers", model=str(folder), **options)


def label(name: str, /, **options: Any) -> str:
    return load_registry().resolve("generator", written(name, **options)).spec.label


def refused(name: str, /, **options: Any) -> str:
    """Return the message of the refusal of options."""
    return refusal(lambda: load_registry().resolve("generator", written(name, **options)))


# -- the hub and the machine


def empty_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty hub cache, and make the hub unreachable."""
    hub_cache.empty(folder, monkeypatch)
    folders._cached_name.cache_clear()
    return folder


def cached(hub: Path, model: str, family: Family = "ltx") -> Path:
    """Store a pipeline as the hub's client does."""
    root = hub / f"models--{model.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(tiny(family), root / "snapshots" / COMMIT))


def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of much memory, without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(checks, "free_memory", lambda: 1000.0 * GIB)
    monkeypatch.setattr(checks, "machine_memory", lambda: 1000.0 * GIB)


def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a check loads weights."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", load)
    monkeypatch.setattr(torch, "load", load)


def as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate that every package is installed."""
    monkeypatch.setattr(checks, "find_spec", lambda name: True)


class Gpu:
    """A simulated GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gib = 80.0
        self.capability = (9, 0)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_properties", self._properties)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: self.capability)
        as_if_installed(monkeypatch)

    def _properties(self, index: int) -> Any:
        assert index == 0
        return type("Properties", (), {"total_memory": int(self.gib * GIB)})


# -- what `check` says

REMEDIES = (
    "copy or download", "hf download", "give ", "use ", "take ", "run ", "pip install", "leave ", "it has ",
    "it takes ", "needs more than text", "makes no video from text", "a newer diffusers", "offload=", "quantization=",
)  # fmt: skip
"""Each line that `check` gives has one of these words at least."""


def lines(name: str | Path, /, **options: Any) -> list[str]:
    """Return the lines of `check` for a preset, or for a pipeline in a folder or on the hub."""
    generator = (
        resolved(str(name), **options) if name in ALL_PRESETS else resolved("diffusers", model=str(name), **options)
    )
    started = time.perf_counter()
    found = generator.check()
    assert time.perf_counter() - started < 5
    for line in found:
        assert line.strip() == line
        assert len(line.splitlines()) == 1
        assert any(remedy in line for remedy in REMEDIES), line
    return found


def only(name: str | Path, /, **options: Any) -> str:
    (line,) = lines(name, **options)
    return line

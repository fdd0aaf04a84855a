"""Text-to-video pipelines with few random weights, saved in the real format."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from popbench.local import quiet

Family = Literal[
    "ltx", "cogvideox", "hunyuan", "wan", "hunyuan-1.5", "ltx-2", "mochi", "latte", "modelscope",
    "wan-2.2", "wan-2.2-5b", "skyreels-v2",
]  # fmt: skip
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class Smallest:
    """A pipeline's class and the size of the smallest clip that it makes."""

    pipeline: str
    width: int
    height: int
    num_frames: int


SMALLEST: dict[Family, Smallest] = {
    "ltx": Smallest("LTXPipeline", 64, 64, 9),
    "cogvideox": Smallest("CogVideoXPipeline", 64, 64, 9),
    "hunyuan": Smallest("HunyuanVideoPipeline", 64, 64, 9),
    "wan": Smallest("WanPipeline", 64, 64, 9),
    "hunyuan-1.5": Smallest("HunyuanVideo15Pipeline", 64, 64, 9),
    "ltx-2": Smallest("LTX2Pipeline", 64, 64, 9),
    "mochi": Smallest("MochiPipeline", 64, 64, 7),
    "latte": Smallest("LattePipeline", 64, 64, 8),
    "modelscope": Smallest("TextToVideoSDPipeline", 64, 64, 8),
    "wan-2.2": Smallest("WanPipeline", 64, 64, 9),
    "wan-2.2-5b": Smallest("WanPipeline", 64, 64, 9),
    "skyreels-v2": Smallest("SkyReelsV2Pipeline", 64, 64, 9),
}


@cache
def _root() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="popbench-tiny-pipelines-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def build(folder: Path, family: Family, *, seed: int = 0) -> Path:
    """Save a pipeline into `folder`; equal seeds give equal weights."""
    module = import_module(f"tiny_pipelines.{family.replace('-', '_').replace('.', '_')}")
    make: Callable[[], Any] = module.make
    with quiet("transformers", "diffusers"), torch.random.fork_rng():
        torch.manual_seed(seed)
        make().save_pretrained(folder)
    return folder


@cache
def tiny(family: Family) -> Path:
    """Return a pipeline's folder, made once per test session. Tests that change files copy it first."""
    return build(_root() / f"tiny-{family}", family)

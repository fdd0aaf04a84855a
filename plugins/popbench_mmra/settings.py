"""Settings of training and of this machine, with the paper's values as defaults. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
"""What an option `device` may be."""
TARGETS = ("comments", "views", "likes")
"""What popularity may count."""
FRAMES = 10

Precision = Literal["auto", "float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a training."""

    learning_rate: float = 1e-5
    batch_size: int = 64
    epochs: int = 100
    patience: int = 20
    seed: int = 2024
    retrieved: int = 10
    alpha: float = 0.6


@dataclass(frozen=True, slots=True)
class Machine:
    """How features are computed: device, precision of the captioner, videos at once, decoding threads."""

    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int | Literal["auto"] = "auto"
    workers: int | None = None


def pick_device(device: str) -> str:
    """Return the device that an option `device` names. `auto` is CUDA if there is any, else the CPU."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def caption_precision(precision: Precision, device: str) -> str:
    """Return the type in which captions are computed. `auto` is half precision on CUDA, else float32."""
    if precision != "auto":
        return precision
    return "float16" if device.startswith("cuda") else "float32"

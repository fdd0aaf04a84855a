"""Frames of Kinetic as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import popbench
from popbench_baselines.kinetic import Kinetic


def pictures(clip: popbench.Clip | popbench.Failure) -> NDArray[np.uint8]:
    assert isinstance(clip, popbench.Clip)
    assert clip.frames is not None
    return clip.frames


def paint(prompt: str, seed: int = 1, **options: float) -> np.ndarray:
    (clip,) = Kinetic(Kinetic.Options(**options)).generate([popbench.VideoRequest("v", prompt, seed)])
    assert isinstance(clip, popbench.Clip)
    assert clip.frames is not None
    return clip.frames

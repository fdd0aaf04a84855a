"""A video generator that paints a small moving landscape for every prompt, in milliseconds.

It stands in for a text-to-video model where the pipeline is tried, tested or explained without a GPU. It understands
words of mood, place, weather and pace (`scene.py`); other words only change the tint, so its clips do not show what a
prompt is worth.

It is fast because soft things (sky, glow, ribbons of light) are painted on a grid of a quarter of the size and
interpolated in 16-bit integers, and crisp things (ridges, sprites) are painted once and moved. It is reproducible
because sines are taken of short float64 rows, and whole pictures need only + - * / and integers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pydantic

import popbench

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Kinetic(popbench.VideoGenerator):
    """Paints clips from the words of the prompt."""

    version = "1"

    class Options(popbench.Options):
        """Size and length of the clips: three seconds by default, as the tasks ask for."""

        width: int = pydantic.Field(320, ge=64, le=3840)
        height: int = pydantic.Field(176, ge=64, le=2160)
        frames: int = pydantic.Field(24, ge=1, le=1200)
        fps: float = pydantic.Field(8, gt=0, le=120)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        """Paint one request after the other, independently of each other."""
        for request in requests:
            start = time.perf_counter()
            frames = self._paint(request.prompt, request.seed)
            seconds = time.perf_counter() - start
            yield popbench.Clip(request.id, frames=frames, fps=self.options.fps, seconds=seconds)

    def _paint(self, prompt: str, seed: int) -> NDArray[np.uint8]:
        from popbench_baselines import ground, particles, scene, sky

        options = self.options
        view = scene.read(prompt, seed)
        times = [index / options.fps for index in range(options.frames)]
        air = sky.paint(view, times, options.width, options.height)
        frames = sky.enlarge(air, options.width, options.height)
        particles.add(frames, view, times, behind=True)
        ground.add_ground(frames, view, times)
        particles.add(frames, view, times, behind=False)
        return frames

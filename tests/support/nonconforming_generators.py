"""Video generators that break one rule each, for tests of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import popbench
from conforming_components import Noise


class FloatFrames(Noise):
    """Renders floats."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        clip = super().paint(request)
        return replace(clip, frames=clip.frames / 255)


class NoFrames(Noise):
    """Renders nothing."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id)


class NoFile(Noise):
    """Points at a file that is not there."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, path="nowhere.mp4")


class NotAVideo(Noise):
    """Points at a file that is no video."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, path=__file__)


class NoFps(Noise):
    """Does not say how fast its frames are."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return replace(super().paint(request), fps=None)


class Undeclared(Noise):
    """Has sound, and does not say so."""

    def sound(self, clip: popbench.Clip) -> Any:
        return np.zeros((9000, 2), np.float32)

    def paint(self, request: popbench.VideoRequest) -> Any:
        clip = super().paint(request)
        return replace(clip, sound=self.sound(clip), sample_rate=24_000)


class Clipped(Undeclared):
    """Has sound in the numbers of 16 bits."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.full((9000, 2), 32_767.0)


class LongSound(Undeclared):
    """Has sound of another length than its frames."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.zeros((90_000, 1), np.float32)


class Hissing(Undeclared):
    """Has other sound each time."""

    makes_sound = True

    def sound(self, clip: popbench.Clip) -> Any:
        return np.random.default_rng().uniform(-1, 1, (9000, 1))


class AskedForSound(Noise):
    """Does not know whether it has sound."""

    makes_sound = "if asked"  # type: ignore[assignment]


class SecondsUnpriced(Noise):
    """Says how long a clip is, and has no price for that."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return replace(super().paint(request), usage={"video_seconds": 2.5})

    def cost(self, usage: Mapping[str, float]) -> float | None:
        return usage["requests"] * 0.5


class Black(Noise):
    """Renders black frames."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.zeros((3, 16, 18, 3), np.uint8), fps=8)


class Queued(Noise):
    """Submits a job for each clip, and breaks no rule: `job` is the place to break one."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.job or {"id": f"{request.prompt[:9]}-{request.seed}"}

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[Any]:
        for request in requests:
            yield popbench.Submitted(request.id, self.job(request))
            yield self.paint(request)


class NoJson(Queued):
    """Submits bytes."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return b"job-1"


class Large(Queued):
    """Submits more than an id."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.job or "x" * 70_000


class Forgetful(Queued):
    """Makes another job, although it has one."""

    def job(self, request: popbench.VideoRequest) -> Any:
        return request.key


class Late(Noise):
    """Submits after its answer."""

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[Any]:
        for request in requests:
            yield self.paint(request)
            yield popbench.Submitted(request.id, 1)


class Unseeded(Noise):
    """Renders other noise each time."""

    def paint(self, request: popbench.VideoRequest) -> Any:
        return popbench.Clip(request.id, np.random.default_rng().integers(0, 256, (3, 16, 18, 3), np.uint8), fps=8)


class NumberVersion(Noise):
    """Has a number for a version."""

    version = 1  # type: ignore[assignment]


class Perhaps(Noise):
    """Does not say whether it repeats itself."""

    repeatable = "mostly"  # type: ignore[assignment]

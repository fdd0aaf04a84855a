"""Facts about pipeline classes that are needed before one is loaded: valid sizes, and how many tokens are read.

A class that is not listed here runs too; wrong sizes are then found only after it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A pipeline class. `fps` is the frame rate that its models were trained at, None if they differ.

    `multiple`: width and height are multiples of it. `period`: frame counts are one more than a multiple of it.
    `tokens`: how many tokens of a prompt are read if the call has no `max_sequence_length`. `attention`: whether the
    attention backend of its denoiser can be set. `caches`: the step caches that work with it (see caches.py). `sound`:
    whether its output has `audio`, (clips, channels, samples), at the rate of its vocoder.
    """

    multiple: int
    period: int
    fps: float | None
    tokens: int | None = None
    attention: bool = True
    caches: tuple[str, ...] = ()
    sound: bool = False

    def wrong_sizes(self, sizes: Mapping[str, int | None]) -> str | None:
        """Return which of `width`, `height` and `num_frames` cannot be rendered, with the nearest valid values."""
        for name in ("width", "height"):
            value = sizes.get(name)
            if value is not None and value % self.multiple:
                return f"{name}={value} is not a multiple of {self.multiple}: take {_near(value, self.multiple, 0)}"
        count = sizes.get("num_frames")
        if count is not None and count % self.period != 1 % self.period:
            return f"num_frames={count} is not {self.period}n+1: take {_near(count, self.period, 1)}"
        return None


def _near(value: int, step: int, offset: int) -> str:
    """Return the nearest valid values below and above an invalid one, as text."""
    below = (value - offset) // step * step + offset
    return " or ".join(str(near) for near in (below, below + step) if near > 0)


_ONCE = ("first-block", "pab", "taylorseer")
"""Caches of denoisers that are called once a step, with and without the prompt in one batch."""
_TWICE = ("first-block", "taylorseer")
"""Caches of denoisers that are called twice a step: `pab` and `faster` would mix up the two calls."""
FAMILIES: Mapping[str, Family] = {
    "LTXPipeline": Family(multiple=32, period=8, fps=25, caches=_ONCE),
    "LTX2Pipeline": Family(multiple=32, period=8, fps=24, caches=("taylorseer",), sound=True),
    "CogVideoXPipeline": Family(multiple=16, period=8, fps=None, attention=False, caches=(*_ONCE, "faster")),
    "HunyuanVideoPipeline": Family(multiple=16, period=4, fps=24, caches=_ONCE),
    "HunyuanVideo15Pipeline": Family(multiple=16, period=4, fps=24, tokens=1000, caches=("taylorseer",)),
    "WanPipeline": Family(multiple=16, period=4, fps=None, caches=_TWICE),
    "SkyReelsV2Pipeline": Family(multiple=16, period=4, fps=24, caches=("taylorseer",)),
    "MochiPipeline": Family(multiple=16, period=6, fps=30, attention=False, caches=(*_ONCE, "faster")),
}
"""The classes of the presets, and those that share their models. Sizes follow from the autoencoder and the patches.

CogVideoX accepts multiples of 8 and fails later, because its transformer takes patches of 2x2. Its decoder takes two
latent frames at a time, so that it gives the right number of frames only for 8n+1. Wan's pipeline rounds other frame
counts silently.

diffusers does not know the blocks of LTX-2, HunyuanVideo 1.5 and SkyReels, so that these have no `first-block`;
`faster` needs a batch of the prompt and none, and a denoiser whose result has the axes of a video.
"""

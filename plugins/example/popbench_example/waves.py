"""A video generator small enough to read: three waves a colour, their directions drawn from prompt and seed.

A real one would load its model in the first call of `generate`, free it in `close`, state what it occupies in
`needs`, say in `check` what it lacks, and add the hash or revision of its weights to `fingerprint`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import popbench
import pydantic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Waves(popbench.VideoGenerator):
    """Paints plasma: slow waves of colour that stand for the prompt and show nothing of it."""

    version = "1"

    class Options(popbench.Options):
        """Size and length of the clips: three seconds by default."""

        width: int = pydantic.Field(default=256, ge=16, le=3840)
        height: int = pydantic.Field(default=144, ge=16, le=2160)
        frames: int = pydantic.Field(default=24, ge=1, le=1200)
        fps: float = pydantic.Field(default=8, gt=0, le=120)

    def generate(self, requests: Iterable[popbench.VideoRequest]) -> Iterator[popbench.Clip | popbench.Failure]:
        """Paint one clip after the other; popbench makes the mp4."""
        for request in requests:
            started = time.perf_counter()
            frames = self._paint(request)
            seconds = time.perf_counter() - started
            yield popbench.Clip(request.id, frames=frames, fps=self.options.fps, seconds=seconds)

    def _paint(self, request: popbench.VideoRequest) -> NDArray[np.uint8]:
        # Imported here, so that `popbench plugins` need not wait for it.
        import numpy as np

        options = self.options
        rnd = random.Random(f"waves:{request.seed}:{request.prompt}")
        # A table and whole numbers: the same pixels on every machine, and faster than sines of arrays.
        sine = np.array([round(127.5 + 127.5 * math.sin(math.tau * step / 256)) for step in range(256)])
        time, y, x = np.ogrid[0 : options.frames, 0 : options.height, 0 : options.width]
        planes = []
        for _ in range(3):
            level = np.zeros((options.frames, options.height, options.width), np.int64)
            for _ in range(3):
                across, down, speed = rnd.randint(-4, 4), rnd.randint(-4, 4), rnd.choice((-9, -5, 5, 9))
                level += sine[(across * x + down * y + speed * time + rnd.randrange(256)) & 255]
            low, high = rnd.randrange(0, 64), rnd.randrange(160, 256)
            planes.append(low + (high - low) * level // (3 * 255))
        return np.stack(planes, axis=-1).astype(np.uint8)

"""A tiny predictor of comments, trained on the made-up corpus: a demonstration, not a measurement.

It was trained on the invented numbers of `build_corpus.py`, with titles and clips that `kinetic` painted. With it, the
whole pipeline can be run and tested on any machine within seconds. Its scores depend on title and video, but say
nothing about what people would watch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import popbench
from popbench.video import VideoError, map_frames, sha256

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).parent / "data" / "demo_predictor.safetensors"
_MAX_DEVIATION = 9.0
"""The largest deviation of a prediction from the average, in log2 comments. It is approached smoothly, by tanh."""


def forward(weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Predict log2 comments of feature rows: a linear part and a small nonlinear one, smoothly bounded."""
    x = ((rows - weights["centre"]) / weights["spread"]).clamp(-6, 6)
    bent = (x @ weights["inner"] + weights["inner_bias"]).tanh() @ weights["outer"]
    return weights["mean"] + _MAX_DEVIATION * ((x @ weights["straight"] + bent) / _MAX_DEVIATION).tanh()


class DemoPredictor(popbench.Predictor):
    """Comments of the made-up corpus, by form of title and by frames.

    It looks at ten frames.
    """

    version = "1"
    demo = True
    unit = "comments"

    def __init__(self, options: popbench.Options | None = None) -> None:
        super().__init__(options)
        self._weights: dict[str, Tensor] | None = None

    def fingerprint(self) -> Mapping[str, object]:
        """Add the hash of the weights to the identity."""
        return {**super().fingerprint(), "sha256": sha256(WEIGHTS)}

    def trained_on(self) -> list[str]:
        """Return the parts that it was trained on."""
        return ["demo/train", "demo/valid"]

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Score items one by one: sums over a batch would depend on its other items."""
        for item in items:
            start = time.perf_counter()
            try:
                log2 = self._log2(item)
            except (VideoError, OSError) as error:
                yield popbench.Failure(item.id, " ".join(str(error).split()))
                continue
            seconds = time.perf_counter() - start
            yield popbench.Score(item.id, 2.0**log2, extra={"log2": log2}, seconds=seconds)

    def _log2(self, item: popbench.ScoreRequest) -> float:
        import numpy as np
        import torch

        from popbench_baselines import features

        if self._weights is None:
            from safetensors.torch import load_file

            self._weights = load_file(WEIGHTS)
        frames = np.stack(map_frames(item.path, features.FRAMES, features.thinned))
        row = features.features(item.title, frames)
        with torch.inference_mode():
            return float(forward(self._weights, torch.from_numpy(row)))

    def close(self) -> None:
        """Free the weights; the next score loads them again."""
        self._weights = None

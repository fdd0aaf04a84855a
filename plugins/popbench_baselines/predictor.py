"""A tiny predictor of comments, trained on the made-up corpus: a demonstration, not a measurement.

It has learnt the law that `build_corpus.py` wrote into invented numbers, from titles and from clips that
`kinetic` painted. Its scores let the whole pipeline run and be tested on any machine within seconds, and they
respond to title and video; they say nothing about what people would watch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import popbench
from popbench.video import VideoError, read_frames, sha256

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = Path(__file__).parent / "data" / "demo_predictor.safetensors"
_REACH = 9.0
"""How far, in log2 comments, a prediction can be from the average: it bends there, and never clips."""


def forward(weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """Predict log2 comments of feature rows: a straight part and a small bent one, softly bounded."""
    x = ((rows - weights["centre"]) / weights["spread"]).clamp(-6, 6)
    bent = (x @ weights["inner"] + weights["inner_bias"]).tanh() @ weights["outer"]
    return weights["mean"] + _REACH * ((x @ weights["straight"] + bent) / _REACH).tanh()


class DemoPredictor(popbench.Predictor):
    """Predicts the comments of the made-up corpus from the form of the title and the look of ten frames."""

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
        """Name the parts whose comments it has seen."""
        return ["demo/train", "demo/valid"]

    def score(self, items: Iterable[popbench.ScoreRequest]) -> Iterator[popbench.Score | popbench.Failure]:
        """Score one item after the other: sums in a batch would depend on who else is in it."""
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
        import torch

        from popbench_baselines import features

        if self._weights is None:
            from safetensors.torch import load_file

            self._weights = load_file(WEIGHTS)
        row = features.features(item.title, read_frames(item.path, features.FRAMES))
        with torch.inference_mode():
            return float(forward(self._weights, torch.from_numpy(row)))

    def close(self) -> None:
        """Forget the weights; the next score loads them again."""
        self._weights = None

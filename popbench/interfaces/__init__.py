"""The base classes of components: a plugin implements one class per model.

The three models (`LLM`, `VideoGenerator`, `Predictor`) have one shape: `generate` or `score` takes an iterable of
requests and yields answers in any order, matched by id; a `PairwisePredictor` has `compare` in place of `score`.
popbench calls it from one thread, pulls one answer at a time, and stores each before it takes the next. The one
exception: while the frames of a clip are encoded, the next clip is rendered already.
"""

from __future__ import annotations

from popbench.interfaces.component import Component
from popbench.interfaces.corpus import PARTS, Corpus, CorpusOptions, CorpusPart, Embedder
from popbench.interfaces.engine import Engine
from popbench.interfaces.mode import Ask, Mode, Turn, Writing
from popbench.interfaces.models import LLM, PairwisePredictor, Predictor, VideoGenerator, balanced
from popbench.interfaces.tracker import Metric, TrackedClip, TrackedRun, Tracker, TrackerOptions

__all__ = [
    "LLM", "PARTS", "Ask", "Component", "Corpus", "CorpusOptions", "CorpusPart", "Embedder", "Engine", "Metric",
    "Mode", "PairwisePredictor", "Predictor", "TrackedClip", "TrackedRun", "Tracker", "TrackerOptions", "Turn",
    "VideoGenerator", "Writing", "balanced",
]  # fmt: skip

"""The conformance kit: plugin authors check a component with it, in a test or in a shell.

>>> from popbench import testing
>>> report = testing.check_llm("verbatim")
>>> report.ok
True

In a shell: `python -m popbench.testing llm haiku,temperature=0.2`. Every function takes a spec, a class or an instance,
and returns a `Report`. It raises `ConformanceError`, an AssertionError that lists every breach, and
`popbench.UsageError` if the component cannot be made or cannot run here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from popbench.testing.corpora import check_corpus
from popbench.testing.embedders import check_embedder
from popbench.testing.generators import check_generator
from popbench.testing.llms import check_llm
from popbench.testing.modes import check_mode
from popbench.testing.predictors import check_predictor
from popbench.testing.requests import (
    sample_chats,
    sample_compare_requests,
    sample_score_requests,
    sample_texts,
    sample_video_requests,
)
from popbench.testing.rules import RULES, Breach, ConformanceError, Report
from popbench.testing.trackers import check_tracker, sample_tracked_run

CHECKS: Mapping[str, Callable[..., Report]] = {
    "llm": check_llm,
    "generator": check_generator,
    "predictor": check_predictor,
    "embedder": check_embedder,
    "corpus": check_corpus,
    "mode": check_mode,
    "tracker": check_tracker,
}
"""The check for each kind of component."""

__all__ = [
    "CHECKS", "RULES", "Breach", "ConformanceError", "Report", "check_corpus", "check_embedder", "check_generator",
    "check_llm", "check_mode", "check_predictor", "check_tracker", "sample_chats", "sample_compare_requests",
    "sample_score_requests", "sample_texts", "sample_tracked_run", "sample_video_requests",
]  # fmt: skip

"""popbench: which language model, prompt and video generator make the most popular micro-videos?

The names in `__all__` are the public API. A name's module is imported on first use, so that `import popbench` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popbench.cards.card import PredictorCard
    from popbench.engines.concurrency import concurrently
    from popbench.engines.retry import Retry
    from popbench.errors import ComponentError, PopbenchError, RunError, UsageError
    from popbench.evaluation.evaluate import evaluate
    from popbench.evaluation.load import load
    from popbench.evaluation.merge import merge
    from popbench.hookspecs import hookimpl
    from popbench.interfaces import (
        LLM,
        Ask,
        Component,
        Corpus,
        CorpusOptions,
        Embedder,
        Engine,
        Metric,
        Mode,
        PairwisePredictor,
        Predictor,
        TrackedClip,
        TrackedRun,
        Tracker,
        TrackerOptions,
        Turn,
        VideoGenerator,
        Writing,
    )
    from popbench.options import Options, runtime
    from popbench.power.study import Study, plan
    from popbench.progress import Progress
    from popbench.prompting.texts import TextTemplate
    from popbench.records import (
        JSON,
        Answer,
        Chat,
        Clip,
        CompareRequest,
        Completion,
        Draft,
        Failure,
        Message,
        Needs,
        Prompt,
        Reference,
        Request,
        Sample,
        Score,
        ScoreRequest,
        Submitted,
        VideoRequest,
        Workers,
    )
    from popbench.registry import label, make
    from popbench.runs.run import Run
    from popbench.specs import ComponentSpec
    from popbench.versions import __version__ as __version__


_HOME = {
    "popbench.cards.card": ("PredictorCard",),
    "popbench.engines.concurrency": ("concurrently",),
    "popbench.engines.retry": ("Retry",),
    "popbench.errors": ("ComponentError", "PopbenchError", "RunError", "UsageError"),
    "popbench.evaluation.evaluate": ("evaluate",),
    "popbench.evaluation.load": ("load",),
    "popbench.hookspecs": ("hookimpl",),
    "popbench.interfaces": (
        "LLM", "Ask", "Component", "Corpus", "CorpusOptions", "Embedder", "Engine", "Metric", "Mode",
        "PairwisePredictor", "Predictor", "TrackedClip", "TrackedRun", "Tracker", "TrackerOptions", "Turn",
        "VideoGenerator", "Writing",
    ),
    "popbench.evaluation.merge": ("merge",),
    "popbench.options": ("Options", "runtime"),
    "popbench.power.study": ("Study", "plan"),
    "popbench.progress": ("Progress",),
    "popbench.prompting.texts": ("TextTemplate",),
    "popbench.records": (
        "JSON", "Answer", "Chat", "Clip", "CompareRequest", "Completion", "Draft", "Failure", "Message", "Needs",
        "Prompt", "Reference", "Request", "Sample", "Score", "ScoreRequest", "Submitted", "VideoRequest", "Workers",
    ),
    "popbench.registry": ("label", "make"),
    "popbench.runs.run": ("Run",),
    "popbench.specs": ("ComponentSpec",),
    "popbench.versions": ("__version__",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "JSON", "LLM", "Answer", "Ask", "Chat", "Clip", "CompareRequest", "Completion", "Component", "ComponentError",
    "ComponentSpec", "Corpus", "CorpusOptions", "Draft", "Embedder", "Engine", "Failure", "Message", "Metric",
    "Mode", "Needs", "Options", "PairwisePredictor", "PopbenchError", "Predictor", "PredictorCard", "Progress",
    "Prompt", "Reference", "Request", "Retry", "Run", "RunError", "Sample", "Score", "ScoreRequest", "Study",
    "Submitted", "TextTemplate", "TrackedClip", "TrackedRun", "Tracker", "TrackerOptions", "Turn", "UsageError",
    "VideoGenerator", "VideoRequest", "Workers", "Writing", "concurrently", "evaluate", "hookimpl", "label", "load",
    "make", "merge", "plan", "runtime",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'popbench' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""popbench: which language model, prompt and video generator make the most popular micro-videos?

The names below are the public API. They are resolved on first use, so that `import popbench` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popbench.api import evaluate
    from popbench.errors import ComponentError, PopbenchError, RunError, UsageError
    from popbench.hookspecs import hookimpl
    from popbench.interfaces import (
        LLM,
        Component,
        Corpus,
        CorpusOptions,
        Embedder,
        Engine,
        Options,
        Predictor,
        VideoGenerator,
        runtime,
    )
    from popbench.merging import merge
    from popbench.records import (
        JSON,
        Answer,
        Chat,
        Clip,
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
        VideoRequest,
        Workers,
    )
    from popbench.run import Run
    from popbench.specs import ComponentSpec

__version__ = "0.1.0"

_HOME = {
    "popbench.errors": ("ComponentError", "PopbenchError", "RunError", "UsageError"),
    "popbench.api": ("evaluate",),
    "popbench.hookspecs": ("hookimpl",),
    "popbench.interfaces": (
        "LLM", "Component", "Corpus", "CorpusOptions", "Embedder", "Engine", "Options", "Predictor", "VideoGenerator",
        "runtime",
    ),
    "popbench.merging": ("merge",),
    "popbench.records": (
        "JSON", "Answer", "Chat", "Clip", "Completion", "Draft", "Failure", "Message", "Needs", "Prompt", "Reference",
        "Request", "Sample", "Score", "ScoreRequest", "VideoRequest", "Workers",
    ),
    "popbench.run": ("Run",),
    "popbench.specs": ("ComponentSpec",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "JSON", "LLM", "Answer", "Chat", "Clip", "Completion", "Component", "ComponentError", "ComponentSpec", "Corpus",
    "CorpusOptions", "Draft", "Embedder", "Engine", "Failure", "Message", "Needs", "Options", "PopbenchError",
    "Predictor", "Prompt", "Reference", "Request", "Run", "RunError", "Sample", "Score", "ScoreRequest", "UsageError",
    "VideoGenerator", "VideoRequest", "Workers", "evaluate", "hookimpl", "merge", "runtime",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'popbench' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Open-weight language models, judges of clips and text embedders, run on this machine with Hugging Face's libraries.

Two presets are the paper's open models (arXiv 2502.12945), decoded as its released code does; `transformers` runs any
causal language model from a folder or from the hub, `sentence-transformers` any of that library's embedders, and
`local-judge` any vision-language model. Heavy libraries are imported only when a model is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench
from popbench_transformers.presets import EMBEDDERS, PRESETS

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the general name and the paper's open models."""
    target = "popbench_transformers.llm:TransformersLLM"
    register("transformers", target)
    for name, preset in PRESETS.items():
        register(name, target, **preset.options)


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register judges of clips: any model that takes pictures, for marks and for the better of two."""
    register("local-judge", "popbench_transformers.judge:Judge")
    register("local-pairs", "popbench_transformers.judge:PairwiseJudge")


@popbench.hookimpl
def register_embedders(register: Register) -> None:
    """Register the general name, the paper's embedder and a smaller one."""
    target = "popbench_transformers.embedder:SentenceTransformersEmbedder"
    register("sentence-transformers", target)
    for name, model in EMBEDDERS.items():
        register(name, target, model=model)

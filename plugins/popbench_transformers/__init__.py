"""Open-weight language models, run on this machine with Hugging Face transformers.

Two presets are the paper's open models (arXiv 2502.12945), decoded as its released code does; `transformers` runs any
causal language model from a folder or from the hub. Nothing heavy is imported before a model is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench
from popbench_transformers.presets import PRESETS

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the general name and the paper's open models."""
    target = "popbench_transformers.llm:TransformersLLM"
    register("transformers", target)
    for name, preset in PRESETS.items():
        register(name, target, **preset.options)

"""Language models, video generators and judges behind servers with the OpenAI protocol, and presets of models with
the providers that serve them.

The presets use the providers' defaults, as the paper (arXiv 2502.12945) does.
"""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register
from popbench_openai.routes import models_file


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register `openai` for any server, and the presets of models.toml."""
    register("openai", "popbench_openai.llm:ChatModel")
    for name, model in models_file().models.items():
        register(name, f"popbench_openai.presets:{name}", **model.options)


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register `videos` for any server of the video protocol."""
    register("videos", "popbench_openai.videos:VideoServer")


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register `judge` and `judge-pairwise` for any server with a model that takes pictures."""
    register("judge", "popbench_openai.judge:Judge")
    register("judge-pairwise", "popbench_openai.judge:PairwiseJudge")

"""Language models, judges of clips and video generators of every provider that LiteLLM knows, with its prices."""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register `litellm`; the library is imported only when a model is made."""
    register("litellm", "popbench_litellm.llm:LiteLLM")


@popbench.hookimpl
def register_predictors(register: Register) -> None:
    """Register judges of clips; the library is imported only when one is made."""
    register("litellm-judge", "popbench_litellm.judge:Judge")
    register("litellm-pairs", "popbench_litellm.judge:PairwiseJudge")


@popbench.hookimpl
def register_generators(register: Register) -> None:
    """Register `litellm` for videos; the library is imported only when a generator is made."""
    register("litellm", "popbench_litellm.videos:LiteLLMVideos")

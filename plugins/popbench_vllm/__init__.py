"""Open-weight language models in vLLM's engine, on this machine's GPUs. vLLM is imported when a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import popbench

if TYPE_CHECKING:
    from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register `vllm`."""
    register("vllm", "popbench_vllm.llm:VLLM")

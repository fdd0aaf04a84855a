"""Language models behind chat APIs with the OpenAI protocol, and presets for the paper's three.

The presets use the provider's defaults, as the paper (arXiv 2502.12945) does.
"""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register `openai` for any server, and `deepseek-v3`, `deepseek-r1` and `gpt-4o`."""
    register("openai", "popbench_openai.llm:ChatModel")
    deepseek, openai = "popbench_openai.llm:DeepSeek", "popbench_openai.llm:OpenAI"
    # the providers' documented contexts; DeepSeek's has grown, and this is its first one
    register("deepseek-v3", deepseek, model="deepseek-chat", structured="off", context=64_000)
    register("deepseek-r1", deepseek, model="deepseek-reasoner", structured="off", context=64_000)
    register("gpt-4o", openai, model="gpt-4o", structured="off", context=128_000)

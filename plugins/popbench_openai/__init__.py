"""Language models behind chat APIs: whatever speaks the OpenAI protocol, and presets for the paper's three.

The presets ask as the paper (arXiv 2502.12945) did: with the provider's own defaults.
"""

from __future__ import annotations

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register `openai` for any server, and `deepseek-v3`, `deepseek-r1` and `gpt-4o`."""
    register("openai", "popbench_openai.llm:ChatModel")
    register("deepseek-v3", "popbench_openai.llm:DeepSeek", model="deepseek-chat", structured="off")
    register("deepseek-r1", "popbench_openai.llm:DeepSeek", model="deepseek-reasoner", structured="off")
    register("gpt-4o", "popbench_openai.llm:OpenAI", model="gpt-4o", structured="off")

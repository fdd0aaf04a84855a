"""A plugin for LLMs behind an API that takes messages in, with the system's apart, and gives blocks of content out."""

import popbench
from popbench.hookspecs import Register


@popbench.hookimpl
def register_llms(register: Register) -> None:
    """Register the class."""
    register("messages", "popbench_messages.llm:Messages")

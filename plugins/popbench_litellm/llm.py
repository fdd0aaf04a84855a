"""The LLM class of LiteLLM: its label, and what fits. `calls` makes the calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import popbench
from popbench.specs import make_label
from popbench_litellm.endpoint import Endpoint
from popbench_litellm.library import missing
from popbench_litellm.options import ChatOptions
from popbench_litellm.servers import key_of, refuse_options

_UNLABELLED = ("model", "api_base")
_ASCII_PER_TOKEN, _PER_MESSAGE = 3, 8
"""The fewest ASCII characters per token, and the most tokens of a message's role and borders."""


class LiteLLM(Endpoint, popbench.LLM):
    """Any chat model of LiteLLM: model=PROVIDER/ID.

    Prices are those of LiteLLM's map.
    """

    version = "1"

    Options = ChatOptions

    def __init__(self, options: ChatOptions | None = None) -> None:
        """Refuse options that would record a secret, and find out whether the provider takes seeds."""
        super().__init__(options)
        given: ChatOptions = self.options
        refuse_options("llm", given)
        self.repeatable = given.seed and not missing() and "seed" in self.facts.params

    def label(self) -> str | None:
        """Return the model's id, with the options that differ from the defaults."""
        defaults = type(self.options).model_fields
        options = self.options.determining()
        changed = {name: value for name, value in options.items() if value != defaults[name].default}
        return make_label(
            self.options.model, {name: value for name, value in changed.items() if name not in _UNLABELLED}
        )

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        """Return whether messages fit, by an estimate that is rather too high; True where the map says no context.

        Room is left for `max_tokens`, or for a quarter of the context if that is not given.
        """
        context = None if missing() else self.facts.context
        if not context:
            return True
        room = context // 4 if self.options.max_tokens is None else self.options.max_tokens
        return sum(_tokens(message["content"]) for message in messages) + room <= context

    def generate(self, chats: Iterable[popbench.Chat]) -> Iterator[popbench.Completion | popbench.Failure]:
        """Make up to `concurrency` calls at once, and yield answers as they come."""
        from popbench_litellm.calls import Calls

        options: ChatOptions = self.options
        calls = Calls(options, self.facts, key_of(options))
        return popbench.concurrently(
            chats, calls, limit=options.concurrency, retry=self.retry(), per_minute=options.requests_per_minute
        )


def _tokens(text: str) -> int:
    """Return an upper estimate of a text's tokens: English has about 4 characters per token, Chinese more than 1."""
    plain = len(text.encode("ascii", "ignore"))
    return _PER_MESSAGE + len(text) - plain + math.ceil(plain / _ASCII_PER_TOKEN)

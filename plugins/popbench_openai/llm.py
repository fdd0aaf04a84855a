"""The LLM class of chat APIs: options, checks and fingerprint. `calls` makes the calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_openai import batch_usage
from popbench_openai.accepted import Accepted
from popbench_openai.endpoint import Endpoint
from popbench_openai.options import ChatOptions
from popbench_openai.routes import listed, models_file
from popbench_openai.servers import key_kept, refuse_options

_RESERVED = {"model", "messages", "stream", "n", "response_format", "seed"}
_UNLABELLED = ("model", "base_url", "provider")
_ASCII_PER_TOKEN, _PER_MESSAGE = 3, 8
"""The fewest ASCII characters per token, and the most tokens of a message's role and borders."""


class ChatModel(Endpoint, popbench.LLM):
    """Any server with the OpenAI protocol: model=ID.

    Other servers than OpenAI's are named by base_url=URL.
    """

    version = "1"

    Options = ChatOptions

    def __init__(self, options: ChatOptions | None = None) -> None:
        """Refuse options that would record a secret. The messages do not repeat it."""
        super().__init__(options)
        given: ChatOptions = self.options
        self._accepted: Accepted | None = None  # kept, so that later batches begin with it
        refuse_options("llm", self.called, given, given.extra_body, _RESERVED)
        if given.batch and self.known is not None and self.known.provider.batch is None:
            having = listed([provider.id for provider in models_file().providers.values() if provider.batch])
            raise popbench.UsageError(
                f"{self.called}: {self.known.provider.name} has no batches of OpenAI's protocol, which {having} have: "
                "leave out batch=true"
            )

    @property
    def called(self) -> str:
        """Return what messages call it."""
        return f"llm with model={self.options.model}"

    def label(self) -> str | None:
        """Return the model's id, with the options that differ from the defaults."""
        defaults = type(self.options).model_fields
        options = self.options.determining()
        return make_label(
            self.options.model,
            {
                name: value
                for name, value in options.items()
                if name not in _UNLABELLED and value != defaults[name].default
            },
        )

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server, and the options as requests have them."""
        asked = self.asked.determining()
        options = {name: value for name, value in asked.items() if name not in ("base_url", "provider")}
        if options["system_role"] == "auto":  # as before there was the option
            del options["system_role"]
        return {**super().fingerprint(), "options": options, "server": self.server}

    def planned(self, usage: Mapping[str, float]) -> Mapping[str, float]:
        """Return the usage as that of batches where `batch` is set."""
        return batch_usage.in_batch(usage) if self.options.batch else usage

    def fits(self, messages: Sequence[popbench.Message]) -> bool:
        """Return whether messages fit, by an estimate that is rather too high; True without `context`.

        Room is left for `max_tokens`, or for a quarter of the context if that is not given.
        """
        options: ChatOptions = self.options
        if options.context is None:
            return True
        room = options.context // 4 if options.max_tokens is None else options.max_tokens
        return sum(_tokens(message["content"]) for message in messages) + room <= options.context

    def generate(
        self, chats: Iterable[popbench.Chat]
    ) -> Iterator[popbench.Completion | popbench.Failure | popbench.Submitted]:
        """Make up to `concurrency` calls at once, or send batches, and yield answers as they come."""
        with key_kept(self.key):
            if self.options.batch:
                from popbench_openai.batches import Batches

                self._accepted = self._accepted or Accepted(self.asked)
                yield from Batches(self, self._accepted).answers(chats)
                return
            from popbench_openai.calls import Calls

            yield from popbench.concurrently(chats, Calls(self), limit=self.options.concurrency)


def _tokens(text: str) -> int:
    """Return an upper estimate of a text's tokens: English has about 4 characters per token, Chinese more than 1."""
    plain = len(text.encode("ascii", "ignore"))
    return _PER_MESSAGE + len(text) - plain + math.ceil(plain / _ASCII_PER_TOKEN)

"""The LLM class of chat APIs: options, checks and fingerprint. `calls` makes the calls."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_openai import batch_usage
from popbench_openai.accepted import Accepted
from popbench_openai.options import ChatOptions
from popbench_openai.routes import Provider, Route, listed, models_file
from popbench_openai.servers import key_in, key_kept, key_problem, refuse_options, shown_url, url_problem

_RESERVED = {"model", "messages", "stream", "n", "response_format", "seed"}
_UNLABELLED = ("model", "base_url", "provider")
_BATCH_SHARE = 0.5
"""The price of a request in a batch at an unknown server, as a share of the price online."""
_ASCII_PER_TOKEN, _PER_MESSAGE = 3, 8
"""The fewest ASCII characters per token, and the most tokens of a message's role and borders."""


class ChatModel(popbench.LLM):
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

    @property
    def home(self) -> Provider:
        """Return the provider whose address and key are used where the options name no other."""
        return models_file().providers["openai"]

    @property
    def asked(self) -> ChatOptions:
        """Return the options that requests are made with."""
        options: ChatOptions = self.options
        return options

    @property
    def server(self) -> str:
        """Return what the fingerprint calls the server: its `provider` name if there is one, or else its URL."""
        return self.options.provider or self.shown_url

    @property
    def url(self) -> str:
        """Return the server's address, without a trailing slash."""
        return (self.options.base_url or os.environ.get(self.home.base_url) or self.home.url).rstrip("/")

    @property
    def shown_url(self) -> str:
        """Return the server's address without possible secrets, for messages."""
        return shown_url(self.url)

    @property
    def key_variable(self) -> str:
        """Return the environment variable of the key, empty for none. A provider's key goes to no other base_url=."""
        given: str | None = self.options.api_key_env
        if given is not None:
            return given
        return self.home.key if self.options.base_url is None else ""

    @property
    def key(self) -> str:
        """Return the key; empty if there is none."""
        return key_in(self.key_variable)

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

    def check(self) -> list[str]:
        """List a retired name, a missing key, and problems of a URL from the environment."""
        problems = []
        if self.options.base_url is None and (problem := url_problem(self.url)):
            problems.append(f"{self.home.base_url} {problem}")
        if (lack := self.retired()) or (lack := self.lacks_key()):
            problems.append(lack)
        if problem := key_problem(self.key_variable):
            problems.append(problem)
        return problems

    def notices(self) -> list[str]:
        """Return the date on which the provider retires the model, if that is ahead."""
        known = self.known
        return [f"ends at {known.provider.name} on {known.ends}"] if known and known.ends and not known.retired else []

    @property
    def known(self) -> Route | None:
        """Return the provider that is asked with the model's id; None for a server that is none of the providers."""
        provider = models_file().at(self.url)
        return None if provider is None else models_file().route(provider, self.asked.model)

    def retired(self) -> str:
        """Return that the provider has retired the model, with what is left; empty if it has not."""
        known, file = self.known, models_file()
        if known is None or not known.retired:
            return ""
        name, now = known.provider.name, file.served_by(known.provider)
        others = [preset for preset in file.presets(known) if file.models[preset].left]
        ways = [f"use {listed(others)}, which other providers serve"] if others else []
        ways += [f"choose from what {name} serves now ({', '.join(now)})"] if now else []
        return f"{name} retired {known.id} on {known.ends}: {', or '.join(ways or ['choose another model='])}"

    @property
    def elsewhere(self) -> str:
        """Return who else serves the model, for messages; empty if nobody is known to."""
        return ""

    def lacks_key(self) -> str:
        """Return that the key is not set, and what to do; empty if it is, or none is needed."""
        lack = self.unset_key()
        return f"{lack}, or give base_url=URL of another server" if lack and self.options.base_url is None else lack

    def unset_key(self) -> str:
        """Return that the key is not set, with where it comes from; empty if it is, or none is needed."""
        if not self.key_variable or self.key:
            return ""
        source = f" (keys: {self.home.keys_from})" if self.key_variable == self.home.key else ""
        return f"the key {self.key_variable} is not set: export {self.key_variable}=...{source}"

    def needs(self) -> popbench.Needs:
        """Return that it runs elsewhere."""
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """Return the cost by `price_in` and `price_out`; the discount of batches is the only one in it."""
        options: ChatOptions = self.options
        if options.price_in is None or options.price_out is None or not {"input", "output"} <= usage.keys():
            return None
        share = self.known.provider.batch if self.known else None
        return batch_usage.cost(usage, options.price_in, options.price_out, _BATCH_SHARE if share is None else share)

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

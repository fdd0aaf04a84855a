"""A component at a chat API: its address, its key, and what is known of the model there."""

from __future__ import annotations

import os
from collections.abc import Mapping

import popbench
from popbench_openai import batch_usage
from popbench_openai.options import ChatOptions
from popbench_openai.routes import Provider, Route, listed, models_file
from popbench_openai.servers import key_in, key_problem, shown_url, url_problem

_BATCH_SHARE = 0.5
"""The price of a request in a batch at an unknown server, as a share of the price online."""


class Endpoint(popbench.Component):
    """What an LLM and a judge at a chat API share. The options name the model, the server and the key's variable."""

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
        options = self.asked
        if options.price_in is None or options.price_out is None or not {"input", "output"} <= usage.keys():
            return None
        share = self.known.provider.batch if self.known else None
        return batch_usage.cost(usage, options.price_in, options.price_out, _BATCH_SHARE if share is None else share)

"""A component at a provider that LiteLLM knows: checks, prices and fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import popbench
from popbench import JSON
from popbench_litellm.library import Facts, close, facts, missing
from popbench_litellm.options import ChatOptions
from popbench_litellm.servers import base_problem, environment_base, key_problem

_OWN = frozenset({
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "response_format", "n", "stream",
    "stream_options", "max_retries", "extra_headers", "tools", "tool_choice", "functions", "function_call",
})  # fmt: skip
"""Parameters that are options here, or that a draft cannot use."""


class Endpoint(popbench.Component):
    """What an LLM and a judge behind LiteLLM share. Their options are ChatOptions."""

    @cached_property
    def facts(self) -> Facts:
        """Return what LiteLLM knows of the model. It is imported for that, which takes seconds."""
        return facts(self.options.model, self.options.api_base)

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server that the environment names in place of the provider's."""
        provider = "" if missing() else self.facts.provider
        server = environment_base(self.options, provider)[1]
        return {**super().fingerprint(), **({"server": server} if server else {})}

    def check(self) -> list[str]:
        """List that LiteLLM is not installed, an unknown provider, unknown parameters, and keys that are not set."""
        if lack := missing():
            return [lack]
        options, known = self.options, self.facts
        if known.problem:
            return [known.problem]
        problems = [base_problem(*environment_base(options, known.provider))]
        ignored = [name for name in ("temperature", "top_p", "max_tokens") if getattr(options, name) is not None]
        if ignored := [name for name in ignored if name not in known.params]:
            problems.append(f"{options.model} takes no {', '.join(ignored)}: leave that out")
        if unknown := sorted(options.params.keys() - (known.params - _OWN)):
            possible = ", ".join(sorted(known.params - _OWN)) or "none"
            problems.append(f"params cannot hold {', '.join(unknown)} for {options.model} (possible: {possible})")
        problems.append(key_problem(options, known))
        return [problem for problem in problems if problem]

    def notices(self) -> list[str]:
        """Return that prices are unknown, that seeds are not taken, and which variables a cloud account may need."""
        if missing() or (known := self.facts).problem:
            return []
        notices = []
        if not known.is_listed:
            lead = f"LiteLLM's map does not list {self.options.model}{close(self.options.model)}"
            notices.append(f"{lead.rstrip('?')}: no costs without price_in= and price_out=")
        if self.options.seed and not self.repeatable:
            notices.append(f"{known.provider} takes no seed: asked again, it may answer otherwise")
        if known.missing and not known.needs_missing and self.options.api_base is None:
            notices.append(f"{', '.join(known.missing)} not set: {known.provider} may need that")
        return notices

    def needs(self) -> popbench.Needs:
        """Return that it runs elsewhere."""
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """Return the cost by `price_in` and `price_out`, or by LiteLLM's map; None if neither has prices.

        Prices are those of a call with few tokens, since `usage` may be the sum of many calls.
        """
        options: ChatOptions = self.options
        if not {"input", "output"} <= usage.keys():
            return None
        if options.price_in is not None and options.price_out is not None:
            return (usage["input"] * options.price_in + usage["output"] * options.price_out) / 1e6
        if missing() or (known := self.facts).price_in is None or known.price_out is None:
            return None
        return usage["input"] * known.price_in + usage["output"] * known.price_out

    def retry(self) -> popbench.Retry:
        """Return what becomes of calls that fail."""
        from popbench_litellm.faults import LimitedError, PassingError

        options: ChatOptions = self.options
        return popbench.Retry(
            transient=PassingError,
            rate_limited=LimitedError,
            fatal=popbench.ComponentError,
            attempts=options.max_retries,
            seconds=options.retry_seconds,
        )

"""The LLM class of LiteLLM: options, checks, prices and fingerprint. `calls` makes the calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_litellm.library import Facts, close, facts, missing
from popbench_litellm.options import ChatOptions
from popbench_litellm.servers import base_problem, environment_base, key_of, key_problem, refuse_options

_UNLABELLED = ("model", "api_base")
_OWN = frozenset({
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "response_format", "n", "stream",
    "stream_options", "max_retries", "extra_headers", "tools", "tool_choice", "functions", "function_call",
})  # fmt: skip
"""Parameters that are options here, or that a draft cannot use."""
_ASCII_PER_TOKEN, _PER_MESSAGE = 3, 8
"""The fewest ASCII characters per token, and the most tokens of a message's role and borders."""


class LiteLLM(popbench.LLM):
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

    @cached_property
    def facts(self) -> Facts:
        """Return what LiteLLM knows of the model. It is imported for that, which takes seconds."""
        return facts(self.options.model, self.options.api_base)

    def label(self) -> str | None:
        """Return the model's id, with the options that differ from the defaults."""
        defaults = type(self.options).model_fields
        options = self.options.determining()
        changed = {name: value for name, value in options.items() if value != defaults[name].default}
        return make_label(
            self.options.model, {name: value for name, value in changed.items() if name not in _UNLABELLED}
        )

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
        from popbench_litellm.faults import LimitedError, PassingError

        options: ChatOptions = self.options
        retry = popbench.Retry(
            transient=PassingError,
            rate_limited=LimitedError,
            fatal=popbench.ComponentError,
            attempts=options.max_retries,
            seconds=options.retry_seconds,
        )
        calls = Calls(options, self.facts, key_of(options))
        return popbench.concurrently(
            chats, calls, limit=options.concurrency, retry=retry, per_minute=options.requests_per_minute
        )


def _tokens(text: str) -> int:
    """Return an upper estimate of a text's tokens: English has about 4 characters per token, Chinese more than 1."""
    plain = len(text.encode("ascii", "ignore"))
    return _PER_MESSAGE + len(text) - plain + math.ceil(plain / _ASCII_PER_TOKEN)

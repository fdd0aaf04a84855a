"""What judges of clips behind a chat API share: the server, checks and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import popbench
from popbench import JSON
from popbench.judging import PicturesJudge, judged
from popbench_openai.endpoint import Endpoint
from popbench_openai.judge_options import VisionOptions
from popbench_openai.options import ChatOptions
from popbench_openai.servers import key_kept, refuse_options

_RESERVED = {"model", "messages", "stream", "n", "response_format", "seed"}


class VisionJudge(Endpoint, PicturesJudge):
    """A judge whose model a server of the OpenAI protocol runs."""

    unlabelled = ("model", "base_url", "provider")

    def refuse_options(self) -> None:
        """Refuse options that would record a secret, with messages that do not repeat it."""
        given: VisionOptions = self.options
        refuse_options("predictor", f"{self.name} with model={given.model}", given, given.extra_body, _RESERVED)
        self.repeatable = given.seed

    @property
    def asked(self) -> ChatOptions:
        """Return the options that requests are made with."""
        options: VisionOptions = self.options
        return options.of_chat

    @property
    def frame_tokens(self) -> int:
        """Return what a frame counts as, for estimates of tokens."""
        options: VisionOptions = self.options
        return options.tokens_per_frame

    def retired(self) -> str:
        """Return that the provider has retired the model; empty if it has not."""
        known = self.known
        if known is None or not known.retired:
            return ""
        return f"{known.provider.name} retired {known.id} on {known.ends}: choose another model="

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server."""
        base: Mapping[str, Any] = super().fingerprint()
        options = {name: value for name, value in base["options"].items() if name not in ("base_url", "provider")}
        return {**base, "options": options, "server": self.server}

    def estimate(self, requests: int) -> float | None:
        """Return the cost of all draws by `tokens_per_frame`, without further tries; None without prices."""
        options: VisionOptions = self.options
        if options.price_in is None or options.price_out is None:
            return None
        tokens_in, tokens_out = self.expected_tokens(options.max_tokens)
        return requests * (tokens_in * options.price_in + tokens_out * options.price_out) / 1e6

    def judge_all(self, items: Iterable[Any]) -> Iterator[popbench.Score | popbench.Failure]:
        """Judge up to `concurrency` clips or pairs at once, and yield answers as they come."""
        from popbench_openai.calls import Calls

        options: VisionOptions = self.options
        named, remedy = f"{options.model} at {self.shown_url}", "check model= and structured="
        with key_kept(self.key):
            yield from judged(self, items, Calls(self), named=named, limit=options.concurrency, remedy=remedy)

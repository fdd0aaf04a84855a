"""The video generator of LiteLLM: options, checks, prices and fingerprint. `video_jobs` has the jobs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_litellm.library import close, missing
from popbench_litellm.servers import base_problem, environment_base, key_of, key_problem, refuse_options
from popbench_litellm.video_models import KINDS, VideoFacts, video_facts
from popbench_litellm.video_options import VideoOptions

_UNLABELLED = ("model", "api_base")
_OWN = frozenset({
    "model", "prompt", "seconds", "size", "seed", "user", "timeout", "client", "extra_headers", "extra_body",
    "api_key", "api_base", "n", "sampleCount", "numberOfVideos", "callback_url",
})  # fmt: skip
"""Parameters that are options here, that make more than one clip, or that call others."""
_ATTEMPTS = 1000
"""Attempts while a provider is full or absent: `retry_seconds` ends them before."""


class LiteLLMVideos(popbench.VideoGenerator):
    """Any video model of LiteLLM (Veo, fal, ...): model=PROVIDER/ID.

    Prices are those of LiteLLM's map.
    """

    version = "1"

    Options = VideoOptions

    def __init__(self, options: VideoOptions | None = None) -> None:
        """Refuse options that would record a secret, and find out whether the provider takes seeds."""
        super().__init__(options)
        given: VideoOptions = self.options
        refuse_options("generator", given)
        if own := sorted(given.params.keys() & _OWN):
            raise popbench.UsageError(f"generator litellm: params cannot hold {', '.join(own)}")
        self.repeatable = given.seed and not missing() and self.facts.takes_seed

    @cached_property
    def facts(self) -> VideoFacts:
        """Return what LiteLLM knows of the model. It is imported for that, which takes seconds."""
        options: VideoOptions = self.options
        return video_facts(options.model, options.api_base, options.seconds, options.size, options.params)

    def label(self) -> str | None:
        """Return the model's id, with the options that differ from the defaults."""
        defaults = type(self.options).model_fields
        told = {name: value for name, value in self.options.determining().items() if name not in _UNLABELLED}
        return make_label(
            self.options.model, {name: value for name, value in told.items() if value != defaults[name].default}
        )

    def _environment_base(self) -> tuple[str, str]:
        provider = "" if missing() else self.facts.provider
        return environment_base(self.options, provider, "API_BASE_VIDEO")

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server that the environment names in place of the provider's."""
        server = self._environment_base()[1]
        return {**super().fingerprint(), **({"server": server} if server else {})}

    def check(self) -> list[str]:
        """List that LiteLLM is not installed, a model or options that it cannot ask for, and keys that are not set."""
        if lack := missing():
            return [lack]
        if self.facts.problem:
            return [self.facts.problem]
        problems = [base_problem(*self._environment_base()), key_problem(self.options, self.facts)]
        if self.facts.provider == "hosted_vllm" and not self.options.api_base and not self._environment_base()[1]:
            problems.append(f"{self.options.model} is a server of your own: give api_base=")
        return [problem for problem in problems if problem]

    def notices(self) -> list[str]:
        """Return that prices are unknown, that seeds are not taken, and when the model ends."""
        if missing() or (known := self.facts).problem:
            return []
        notices, options = [], self.options
        if not known.is_listed and options.price_per_second is None:
            lead = f"LiteLLM's map does not list {options.model}{close(options.model, KINDS)}"
            notices.append(f"{lead.rstrip('?')}: no costs without price_per_second=")
        if options.seed and not self.repeatable:
            notices.append(f"{known.provider} is sent no seed: asked again, it may make another clip")
        if known.ends:
            notices.append(f"{options.model} ends on {known.ends}, by LiteLLM's map")
        if known.missing and not known.needs_missing and options.api_base is None:
            notices.append(f"{', '.join(known.missing)} not set: {known.provider} may need that")
        return notices

    def needs(self) -> popbench.Needs:
        """Return that it runs elsewhere."""
        return popbench.Needs(remote=True)

    @property
    def _price(self) -> float | None:
        price: float | None = self.options.price_per_second
        return self.facts.price if price is None and not missing() else price

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """Return the cost by `price_per_second`, or by LiteLLM's map at the size asked for; None without either."""
        price = self._price
        return None if price is None or "video_seconds" not in usage else usage["video_seconds"] * price

    def estimate(self, requests: int) -> float | None:
        """Return the cost of clips of `seconds`; None without them, or without a price."""
        seconds = self.options.seconds if missing() else self.facts.seconds
        price = self._price
        return None if price is None or seconds is None else requests * seconds * price

    def generate(
        self, requests: Iterable[popbench.VideoRequest]
    ) -> Iterator[popbench.Clip | popbench.Failure | popbench.Submitted]:
        """Have up to `concurrency` jobs at work, and yield them as they are accepted, and clips as they come."""
        from popbench_litellm.faults import LimitedError, PassingError
        from popbench_litellm.video_jobs import VideoJobs

        options: VideoOptions = self.options
        retry = popbench.Retry(
            transient=PassingError,
            rate_limited=LimitedError,
            fatal=popbench.ComponentError,
            attempts=_ATTEMPTS,
            seconds=options.retry_seconds,
        )
        with tempfile.TemporaryDirectory(prefix="popbench-clips-", ignore_cleanup_errors=True) as folder:
            jobs = VideoJobs(options, self.facts, key_of(options), Path(folder))
            yield from popbench.concurrently(
                requests, jobs, limit=options.concurrency, retry=retry, per_minute=options.requests_per_minute
            )

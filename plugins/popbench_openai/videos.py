"""The video generator of servers with the OpenAI protocol's jobs (`/v1/videos`): options, checks and fingerprint.

`video_jobs` creates jobs, asks about them and fetches their clips.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import popbench
from popbench import JSON
from popbench.specs import make_label
from popbench_openai.servers import key_in, key_kept, key_problem, refuse_options, shown_url
from popbench_openai.video_options import VideoOptions

_RESERVED = {"model", "prompt", "seconds", "size", "seed"}
_UNLABELLED = ("model", "base_url", "provider")
_ATTEMPTS = 1000
"""Attempts while a server is full or absent: `retry_seconds` ends them before."""


class VideoServer(popbench.VideoGenerator):
    """Any server of the video protocol: model=ID,base_url=URL."""

    version = "1"

    Options = VideoOptions

    def __init__(self, options: VideoOptions | None = None) -> None:
        """Refuse options that would record a secret. The messages do not repeat it."""
        super().__init__(options)
        given: VideoOptions = self.options
        refuse_options("generator", self.called, given, given.extra_body, _RESERVED)
        self.repeatable = given.seed

    @property
    def called(self) -> str:
        """Return what messages call it."""
        return f"generator with model={self.options.model}"

    @property
    def url(self) -> str:
        """Return the server's address, without a trailing slash."""
        return str(self.options.base_url).rstrip("/")

    @property
    def key_variable(self) -> str:
        """Return the environment variable of the key, empty for none."""
        return self.options.api_key_env or ""

    def label(self) -> str | None:
        """Return the model's id, with the options that differ from the defaults."""
        defaults = type(self.options).model_fields
        told = {name: value for name, value in self.options.determining().items() if name not in _UNLABELLED}
        return make_label(
            self.options.model, {name: value for name, value in told.items() if value != defaults[name].default}
        )

    def fingerprint(self) -> Mapping[str, JSON]:
        """Add the server, by its `provider` name if it has one."""
        asked = self.options.determining()
        options = {name: value for name, value in asked.items() if name not in ("base_url", "provider")}
        return {**super().fingerprint(), "options": options, "server": self.options.provider or shown_url(self.url)}

    def check(self) -> list[str]:
        """List a missing key, and one that is none."""
        variable = self.key_variable
        if variable and not key_in(variable):
            return [f"the key {variable} is not set: export {variable}=..., or leave api_key_env out if it needs none"]
        problem = key_problem(variable)
        return [problem] if problem else []

    def needs(self) -> popbench.Needs:
        """Return that it runs elsewhere."""
        return popbench.Needs(remote=True)

    def cost(self, usage: Mapping[str, float]) -> float | None:
        """Return the cost by `price_per_second`."""
        price: float | None = self.options.price_per_second
        return None if price is None or "video_seconds" not in usage else usage["video_seconds"] * price

    def estimate(self, requests: int) -> float | None:
        """Return the cost of clips of `seconds`; None without them, or without a price."""
        options: VideoOptions = self.options
        if options.price_per_second is None or options.seconds is None:
            return None
        return requests * options.seconds * options.price_per_second

    def generate(
        self, requests: Iterable[popbench.VideoRequest]
    ) -> Iterator[popbench.Clip | popbench.Failure | popbench.Submitted]:
        """Have up to `concurrency` jobs at work, and yield them as they are accepted, and clips as they come."""
        from popbench_openai.video_jobs import VideoJobs, is_fatal, is_full, is_passing

        options: VideoOptions = self.options
        key = key_in(self.key_variable)
        retry = popbench.Retry(
            transient=is_passing,
            rate_limited=is_full,
            fatal=is_fatal,
            attempts=_ATTEMPTS,
            seconds=options.retry_seconds,
        )
        with tempfile.TemporaryDirectory(prefix="popbench-clips-", ignore_cleanup_errors=True) as folder, key_kept(key):
            jobs = VideoJobs(options, self.url, key, Path(folder))
            yield from popbench.concurrently(
                requests, jobs, limit=options.concurrency, retry=retry, per_minute=options.requests_per_minute
            )

"""The options of video models that are asked through LiteLLM."""

from __future__ import annotations

import pydantic

import popbench
from popbench import JSON


class VideoOptions(popbench.Options):
    """The options of jobs, of asking about them, and of costs. What is not given is the provider's default."""

    model: str = pydantic.Field(
        min_length=1, description="the provider and the model's id there, for instance gemini/veo-3.1-generate-001"
    )
    api_base: str | None = pydantic.Field(None, description="another server that speaks the provider's protocol")
    api_key_env: str | None = popbench.runtime(
        None, description="the environment variable that holds the key, instead of the provider's own"
    )
    seconds: int | None = pydantic.Field(None, ge=1, description="the length of a clip")
    size: str | None = pydantic.Field(None, pattern=r"^[1-9]\d*x[1-9]\d*$", description="pixels, WIDTHxHEIGHT")
    seed: bool = pydantic.Field(True, description="send each sample's seed, where the provider takes one")
    params: dict[str, JSON] = pydantic.Field(
        {}, description='further fields of the provider\'s request: {"negativePrompt":"text"}'
    )
    poll: float = popbench.runtime(5.0, gt=0, description="seconds between two looks at a job")
    timeout: float = popbench.runtime(600, gt=0, description="seconds for one request, from first to last byte")
    concurrency: int = popbench.runtime(16, ge=1, le=1000, description="jobs at a time")
    requests_per_minute: float | None = popbench.runtime(None, gt=0, description="jobs to create a minute, at most")
    max_retries: int = popbench.runtime(8, ge=0, description="further attempts to create a job after an error")
    retry_seconds: float = popbench.runtime(3600, ge=0, description="seconds of waiting for a full or absent provider")
    price_per_second: float | None = popbench.runtime(
        None, ge=0, description="USD per second of video, instead of LiteLLM's price"
    )

"""The options of video servers."""

from __future__ import annotations

from typing import Literal

import pydantic

import popbench
from popbench import JSON


class VideoOptions(popbench.Options):
    """The options of jobs, of asking about them, and of costs. Options that are not given are the server's defaults."""

    model: str = pydantic.Field(min_length=1, description="the model's id with the server")
    base_url: str = pydantic.Field(description="the server, for instance http://127.0.0.1:8091/v1")
    api_key_env: str | None = popbench.runtime(
        None, description="the environment variable that holds the key; none for a server without keys"
    )
    provider: str | None = pydantic.Field(
        None, description="a name that stands for the server instead of its URL, for servers that move"
    )
    seconds: int | None = pydantic.Field(None, ge=1, description="the length of a clip")
    size: str | None = pydantic.Field(None, pattern=r"^[1-9]\d*x[1-9]\d*$", description="pixels, WIDTHxHEIGHT")
    seed: bool = pydantic.Field(True, description="send each sample's seed; false for a server that takes none")
    extra_body: dict[str, JSON] = pydantic.Field({}, description="further fields of the request, as a JSON object")
    body: Literal["form", "json"] = pydantic.Field("form", description="how the fields of a request are sent")
    poll: float = popbench.runtime(5.0, gt=0, description="seconds between two looks at a job")
    timeout: float = popbench.runtime(600, gt=0, description="seconds for one request, from first to last byte")
    concurrency: int = popbench.runtime(16, ge=1, le=1000, description="jobs at a time")
    requests_per_minute: float | None = popbench.runtime(None, gt=0, description="jobs to create a minute, at most")
    max_retries: int = popbench.runtime(8, ge=0, description="further attempts to create a job after an error")
    retry_seconds: float = popbench.runtime(3600, ge=0, description="seconds of waiting for a full or absent server")
    price_per_second: float | None = popbench.runtime(None, ge=0, description="USD per second of video")

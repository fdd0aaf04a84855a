"""The options of chat APIs, and OpenAI's address."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

import popbench
from popbench import JSON


class ChatOptions(popbench.Options):
    """The options of requests, retries, batches and costs. Options that are not given are the provider's defaults."""

    model: str = pydantic.Field(min_length=1, description="the model's id with the provider")
    base_url: str | None = pydantic.Field(None, description="the server, for instance http://127.0.0.1:8000/v1")
    api_key_env: str | None = popbench.runtime(
        None, description="the environment variable that holds the key; empty for a server without keys"
    )
    provider: str | None = pydantic.Field(
        None, description="a name that stands for the server instead of its URL, for servers that move"
    )
    temperature: float | None = pydantic.Field(None, ge=0, le=2, description="how freely tokens are drawn")
    top_p: float | None = pydantic.Field(None, gt=0, le=1, description="the share of probability that is drawn from")
    max_tokens: int | None = pydantic.Field(None, ge=1, description="tokens of an answer, at most")
    context: int | None = pydantic.Field(
        None, ge=1, description="tokens the model reads and writes: prompts are made to fit, with fewer references"
    )
    seed: bool = pydantic.Field(True, description="send each sample's seed")
    structured: Literal["auto", "json_schema", "json_object", "off"] = pydantic.Field(
        "auto", description="what response_format to ask for"
    )
    system_role: Literal["auto", "merge", "keep"] = pydantic.Field(
        "auto", description="the system message: merged into the user's if the server refuses it, always, or never"
    )
    extra_body: dict[str, JSON] = pydantic.Field({}, description="further fields of the request, as a JSON object")
    timeout: float = popbench.runtime(600, gt=0, description="seconds for one attempt, from first to last byte")
    concurrency: int = popbench.runtime(16, ge=1, le=1000, description="calls at once")
    requests_per_minute: float | None = popbench.runtime(None, gt=0, description="attempts a minute, at most")
    tokens_per_minute: float | None = popbench.runtime(None, gt=0, description="tokens a minute, in and out, at most")
    max_retries: int = popbench.runtime(8, ge=0, description="further attempts after a passing fault")
    retry_seconds: float = popbench.runtime(600, ge=0, description="no attempt starts later than this after the first")
    batch: bool = popbench.runtime(False, description="ask in batches, at a lower price and with answers within a day")
    batch_size: int = popbench.runtime(1000, ge=1, le=50_000, description="requests of a batch, at most")
    poll: float = popbench.runtime(60.0, gt=0, description="seconds between two looks at the batches")
    price_in: float | None = popbench.runtime(None, ge=0, description="USD per million input tokens")
    price_out: float | None = popbench.runtime(None, ge=0, description="USD per million output tokens")

    @pydantic.model_validator(mode="after")
    def _prices_come_together(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out are given together, in USD per million tokens")
        return self

    @pydantic.model_validator(mode="after")
    def _prompts_have_room(self) -> Self:
        if self.context is not None and self.max_tokens is not None and self.max_tokens >= self.context:
            raise ValueError(
                f"max_tokens={self.max_tokens} leaves a prompt no room in context={self.context}: set one of them"
            )
        return self


OPENAI_URL = "https://api.openai.com/v1"

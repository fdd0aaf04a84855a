"""The options of models that are asked through LiteLLM."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

import popbench
from popbench import JSON


class ChatOptions(popbench.Options):
    """The options of requests, retries and costs. Options that are not given are the provider's defaults."""

    model: str = pydantic.Field(
        min_length=1, description="the provider and the model's id there, for instance anthropic/claude-sonnet-4-5"
    )
    api_base: str | None = pydantic.Field(None, description="another server that speaks the provider's protocol")
    api_key_env: str | None = popbench.runtime(
        None, description="the environment variable that holds the key, instead of the provider's own"
    )
    temperature: float | None = pydantic.Field(None, ge=0, le=2, description="how freely tokens are drawn")
    top_p: float | None = pydantic.Field(None, gt=0, le=1, description="the share of probability that is drawn from")
    max_tokens: int | None = pydantic.Field(None, ge=1, description="tokens of an answer, at most")
    seed: bool = pydantic.Field(True, description="send each sample's seed, where the provider takes one")
    structured: Literal["auto", "off"] = pydantic.Field(
        "auto", description="ask for the draft's JSON schema, where the model supports one"
    )
    params: dict[str, JSON] = pydantic.Field(
        {}, description='further parameters that LiteLLM knows for the model: {"reasoning_effort":"low"}'
    )
    timeout: float = popbench.runtime(600, gt=0, description="seconds for one attempt")
    concurrency: int = popbench.runtime(16, ge=1, le=1000, description="calls at once")
    requests_per_minute: float | None = popbench.runtime(None, gt=0, description="attempts a minute, at most")
    max_retries: int = popbench.runtime(8, ge=0, description="further attempts after a passing fault")
    retry_seconds: float = popbench.runtime(600, ge=0, description="no attempt starts later than this after the first")
    price_in: float | None = popbench.runtime(
        None, ge=0, description="USD per million input tokens, instead of LiteLLM's price"
    )
    price_out: float | None = popbench.runtime(
        None, ge=0, description="USD per million output tokens, instead of LiteLLM's price"
    )

    @pydantic.model_validator(mode="after")
    def _prices_come_together(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out come together: give both")
        return self

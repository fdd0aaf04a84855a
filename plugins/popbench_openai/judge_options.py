"""The options of judges."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

import popbench
from popbench import JSON
from popbench.judging import CriteriaOptions, PairsOptions, PicturesOptions
from popbench_openai.options import ChatOptions


class VisionOptions(PicturesOptions):
    """What a judge of clips is shown, and the options of requests, retries and costs."""

    model: str = pydantic.Field(min_length=1, description="the id of a model that takes pictures, with the provider")
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
    seed: bool = pydantic.Field(True, description="send a seed, another one for each draw")
    structured: Literal["auto", "json_schema", "json_object", "off"] = pydantic.Field(
        "auto", description="what response_format to ask for"
    )
    extra_body: dict[str, JSON] = pydantic.Field({}, description="further fields of the request, as a JSON object")
    timeout: float = popbench.runtime(600, gt=0, description="seconds for one attempt, from first to last byte")
    concurrency: int = popbench.runtime(16, ge=1, le=1000, description="calls at once")
    requests_per_minute: float | None = popbench.runtime(None, gt=0, description="attempts a minute, at most")
    tokens_per_minute: float | None = popbench.runtime(None, gt=0, description="tokens a minute, in and out, at most")
    max_retries: int = popbench.runtime(8, ge=0, description="further attempts after a passing fault")
    retry_seconds: float = popbench.runtime(600, ge=0, description="no attempt starts later than this after the first")
    price_in: float | None = popbench.runtime(None, ge=0, description="USD per million input tokens")
    price_out: float | None = popbench.runtime(None, ge=0, description="USD per million output tokens")
    tokens_per_frame: int = popbench.runtime(1000, ge=0, description="what a frame counts as, for estimates of costs")

    @pydantic.model_validator(mode="after")
    def _prices_come_together(self) -> Self:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out are given together, in USD per million tokens")
        return self

    @property
    def of_chat(self) -> ChatOptions:
        """Return the options of its requests as those of a chat model."""
        shared = ChatOptions.model_fields.keys() & type(self).model_fields.keys()
        return ChatOptions(**{name: getattr(self, name) for name in shared})


class JudgeOptions(CriteriaOptions, VisionOptions):
    """What a judge is shown and asked for marks."""


class PairwiseOptions(PairsOptions, VisionOptions):
    """What a judge of pairs is shown and asked."""

"""The options of judges."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

import popbench
from popbench import JSON
from popbench_openai.options import ChatOptions

SCORE = "score"
"""The mark that is the score; the others are its parts."""
CRITERIA = {
    "hook": "how strongly the first moment makes a viewer stay",
    "clarity": "how easily a viewer sees what happens, and what it is about",
    "novelty": "how far it shows what a viewer has not seen before",
    "fit": "how well clip and title suit each other, and what was asked for",
}


class VisionOptions(popbench.Options):
    """What a judge of clips is shown, and the options of requests, retries and costs."""

    model: str = pydantic.Field(min_length=1, description="the id of a model that takes pictures, with the provider")
    base_url: str | None = pydantic.Field(None, description="the server, for instance http://127.0.0.1:8000/v1")
    api_key_env: str | None = popbench.runtime(
        None, description="the environment variable that holds the key; empty for a server without keys"
    )
    provider: str | None = pydantic.Field(
        None, description="a name that stands for the server instead of its URL, for servers that move"
    )
    frames: int = pydantic.Field(8, ge=1, le=100, description="frames that are shown, evenly spaced in time")
    size: int = pydantic.Field(512, ge=16, le=4096, description="pixels of a frame's longer side, at most")
    picture: Literal["jpeg", "png"] = pydantic.Field("jpeg", description="the format of frames")
    draws: int = pydantic.Field(3, ge=1, le=100, description="judgements of a clip, which are averaged")
    rubric: str | None = pydantic.Field(None, min_length=1, description="a Jinja file, for the rubric that comes along")
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


class JudgeOptions(VisionOptions):
    """What a judge is shown and asked for marks."""

    criteria: dict[str, str] = pydantic.Field(
        CRITERIA, description="the marks besides the score, and what each is for, as a JSON object"
    )

    @pydantic.field_validator("criteria")
    @classmethod
    def _are_marks(cls, given: dict[str, str]) -> dict[str, str]:
        for name, question in given.items():
            if not name.strip() or len(name) > 60 or not name.isprintable() or not question.strip():
                raise ValueError(f"a criterion has a name of at most 60 characters, and says what it is for: {name!r}")
            if name.strip().lower() == SCORE:
                raise ValueError(f"{SCORE!r} is asked in any case, after the criteria: leave it out, or rename it")
        if len({name.strip().lower() for name in given}) < len(given):
            raise ValueError("two criteria have the same name, but for case and blanks")
        return given


class PairwiseOptions(VisionOptions):
    """What a judge of pairs is shown and asked."""

    draws: int = pydantic.Field(1, ge=1, le=100, description="judgements of a pair in each order, which are averaged")
    opponents: int | None = popbench.runtime(
        None, ge=1, description="with how many others a system is compared on each prompt, for all others"
    )
